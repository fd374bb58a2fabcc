/* Writes to a view that it declared as read-only. */
#define ACCESS ABLATE_READ
#define ON_EVENT x[0] += 1;
#include "bad.h"
