/* Plans layer 999. */
#define PLAN access->layer_first = access->layer_last = 999;
#include "bad.h"
