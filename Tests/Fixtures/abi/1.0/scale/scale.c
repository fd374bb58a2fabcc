/* scale: an ordinary C function, as it may stand in any library. It includes nothing of Ablate: plugin.json says its
 * type and where its arguments come from, and libffi calls it. 0 means success. */
#include <math.h>
#include <stdint.h>

__attribute__((visibility("default"))) int32_t scale(float *x, int64_t n, float factor) {
  if (!isfinite(factor)) return 1;
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
  return 0;
}
