/* Reads a mapped file beyond its end. */
#include <sys/mman.h>
#define ON_EVENT /* a descriptor of the worker, whose file is shorter than this mapping */ \
  char *p = mmap(NULL, 1ull << 30, PROT_READ, MAP_SHARED, 5, 0); if (p == MAP_FAILED) return ABLATE_E_STATE; \
  x[0] = p[(1ull << 30) - 1];
#include "bad.h"
