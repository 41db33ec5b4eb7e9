#include "net/tcp_transport.h"
