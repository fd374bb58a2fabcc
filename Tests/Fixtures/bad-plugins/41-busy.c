/* Computes for ever. */
#define ON_EVENT for (volatile int i = 0;; i++) {}
#include "bad.h"
