#include "net/dialler.h"
