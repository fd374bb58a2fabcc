/* Leaves with success at once. */
#define ON_EVENT _exit(0);
#include "bad.h"
