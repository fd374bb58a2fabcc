/* Writes one element behind its view. */
#define ON_EVENT x[n] = 0;
#include "bad.h"
