/* Writes one element before its view. */
#define ON_EVENT x[-1] = 0;
#include "bad.h"
