/* Writes far beyond its view. */
#define ON_EVENT x[(uint64_t)1 << 36] = 0;
#include "bad.h"
