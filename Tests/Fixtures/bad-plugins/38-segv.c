/* Writes through NULL. */
#define ON_EVENT *(volatile int *)0 = 1;
#include "bad.h"
