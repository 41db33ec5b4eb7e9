#include "net/tls.h"
