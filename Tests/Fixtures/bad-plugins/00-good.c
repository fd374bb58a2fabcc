/* Doubles one element: what a good plugin does. */
#define ON_EVENT x[0] *= 2;
#include "bad.h"
