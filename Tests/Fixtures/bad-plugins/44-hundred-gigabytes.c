/* Wants 100 GB, and uses them without a look. */
#define ON_EVENT volatile char *p = malloc(100ull << 30); p[50ull << 30] = 1;
#include "bad.h"
