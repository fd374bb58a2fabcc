/* Writes infinities. */
#define ON_EVENT x[0] = x[2] = INFINITY;
#include "bad.h"
