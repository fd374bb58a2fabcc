#if defined(__x86_64__)
#define SUFFIX _v1
#else
#define SUFFIX /* one version, under its own name */
#endif
#include "kernels.h"
