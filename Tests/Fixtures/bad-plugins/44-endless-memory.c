/* Takes memory for ever. */
#define ON_EVENT for (;;) { char *p = malloc(1 << 26); memset(p, 1, 4096); }
#include "bad.h"
