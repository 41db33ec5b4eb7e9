#include "net/dialing_connector.h"
