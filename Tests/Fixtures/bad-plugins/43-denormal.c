/* Writes denormals, which are numbers. */
#define ON_EVENT for (uint64_t i = 0; i < n; i++) x[i] = 1e-42f;
#include "bad.h"
