#include <stdint.h>
int32_t twice(float *x, int64_t n) { return n > 0 ? (x[0] *= 2, 0) : 1; }
