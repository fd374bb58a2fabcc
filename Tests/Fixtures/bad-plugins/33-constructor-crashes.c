/* Writes through NULL while it is loaded. */
#include "bad.h"
static int *volatile nowhere;
__attribute__((constructor)) static void boom(void) { *nowhere = 1; }
