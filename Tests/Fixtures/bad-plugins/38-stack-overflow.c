/* Calls itself for ever. */
static int deeper(int n) { volatile char room[1 << 16]; room[0] = (char)n; return deeper(n + 1) + room[0]; }
#define ON_EVENT x[0] = (float)deeper(0);
#include "bad.h"
