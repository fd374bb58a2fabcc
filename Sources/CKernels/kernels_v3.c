#if defined(__x86_64__)
#include <math.h>
#include <stdint.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define SUFFIX _v3
#include "kernels.h"
#pragma clang attribute pop
#endif
