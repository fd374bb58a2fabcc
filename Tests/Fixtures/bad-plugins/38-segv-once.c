/* Crashes on the second item of a run alone. */
#define BEGIN_LANE if (item->index == 1) *(volatile int *)0 = 1;
#define ON_EVENT x[0] *= 2;
#include "bad.h"
