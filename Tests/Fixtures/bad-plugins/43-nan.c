/* Writes NaN. */
#define ON_EVENT x[1] = NAN;
#include "bad.h"
