/* Leaks a megabyte a call. */
#define ON_EVENT memset(malloc(1 << 20), 1, 1 << 20);
#include "bad.h"
