#include "net/tls_transport.h"
