/* Divides by zero. */
#define ON_EVENT volatile int zero = 0; zero = 7 / zero;
#include "bad.h"
