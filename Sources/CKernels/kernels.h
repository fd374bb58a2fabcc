/* The loops themselves, compiled once per CPU target: kernels_*.c include this with SUFFIX and a target set. */
#include "CKernels.h"

#include <math.h>
#include <string.h>

#define CONCAT2(a, b) a##b
#define CONCAT(a, b) CONCAT2(a, b)
#define NAME(kernel) CONCAT(kernel, SUFFIX)
#define INLINE static inline __attribute__((always_inline))

typedef float lanes __attribute__((ext_vector_type(16), aligned(4)));
typedef int32_t ilanes __attribute__((ext_vector_type(16), aligned(4)));
enum { LANES = 16 };

INLINE lanes load(const float *p) { return *(const lanes *)p; }
INLINE void store(float *p, lanes v) { *(lanes *)p = v; }
INLINE lanes load_part(const float *p, int64_t n, float fill) {
  lanes v = fill;
  memcpy(&v, p, (size_t)n * sizeof(float));
  return v;
}
INLINE void store_part(float *p, lanes v, int64_t n) { memcpy(p, &v, (size_t)n * sizeof(float)); }

/* Runs `full` on every 16 entries of 0..<n, then `part` on the `rest` that is left; both see the index `i`. */
#define FOR_LANES(n, full, part)                 \
  do {                                           \
    int64_t i = 0;                               \
    for (; i + LANES <= (n); i += LANES) { full; } \
    const int64_t rest = (n) - i;                \
    if (rest > 0) { part; }                      \
  } while (0)

INLINE float sum_of(lanes v) {
  float s[LANES];
  memcpy(s, &v, sizeof s);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
}
INLINE float max_of(lanes v) {
  float m = v[0];
  for (int i = 1; i < LANES; i++) m = v[i] > m ? v[i] : m;
  return m;
}

/* exp by Cody-Waite reduction and the polynomial of Cephes' expf; at most 2 units in the last place, 0 below -87.3. */
INLINE lanes exponential(lanes x) {
  const lanes clamped = __builtin_elementwise_min(__builtin_elementwise_max(x, (lanes)-87.3365f), (lanes)88.3762f);
  const lanes n = (clamped * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  const lanes r = clamped - n * 0.693359375f - n * -2.12194440e-4f;
  lanes p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const ilanes bits = (__builtin_convertvector(n, ilanes) + 127) << 23;
  const lanes scale = __builtin_bit_cast(lanes, bits);
  return x < (lanes)-87.3365f ? (lanes)0.0f : p * scale;
}
INLINE lanes sigmoid(lanes x) { return 1.0f / (1.0f + exponential(-x)); }

void NAME(ck_rms_norm)(const float *x, const float *gain, float eps, float *y, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; r++, x += width, y += width) {
    lanes squares = 0.0f;
    FOR_LANES(width, squares += load(x + i) * load(x + i),
              const lanes v = load_part(x + i, rest, 0); squares += v * v);
    const float scale = 1.0f / sqrtf(sum_of(squares) / (float)width + eps);
    FOR_LANES(width, store(y + i, load(x + i) * scale * load(gain + i)),
              store_part(y + i, load_part(x + i, rest, 0) * scale * load_part(gain + i, rest, 0), rest));
  }
}

void NAME(ck_layer_norm)(const float *x, const float *gain, const float *bias, float eps, float *y, int64_t rows,
                          int64_t width) {
  for (int64_t r = 0; r < rows; r++, x += width, y += width) {
    lanes total = 0.0f, squares = 0.0f;
    FOR_LANES(width, total += load(x + i), total += load_part(x + i, rest, 0));
    const float mean = sum_of(total) / (float)width;
    FOR_LANES(width, const lanes d = load(x + i) - mean; squares += d * d,
              const lanes d = load_part(x + i, rest, mean) - mean; squares += d * d);
    const float scale = 1.0f / sqrtf(sum_of(squares) / (float)width + eps);
    FOR_LANES(width, store(y + i, (load(x + i) - mean) * scale * load(gain + i) + load(bias + i)),
              store_part(y + i,
                         (load_part(x + i, rest, 0) - mean) * scale * load_part(gain + i, rest, 0) +
                             load_part(bias + i, rest, 0),
                         rest));
  }
}

void NAME(ck_softmax)(float *x, int64_t valid, int64_t columns) {
  lanes highest = -INFINITY, total = 0.0f;
  FOR_LANES(valid, highest = __builtin_elementwise_max(highest, load(x + i)),
            highest = __builtin_elementwise_max(highest, load_part(x + i, rest, -INFINITY)));
  const float maximum = max_of(highest);
  memset(x + valid, 0, (size_t)(columns - valid) * sizeof(float));
  if (maximum == -INFINITY) {
    memset(x, 0, (size_t)valid * sizeof(float));
    return;
  }
  FOR_LANES(valid, const lanes e = exponential(load(x + i) - maximum); store(x + i, e); total += e,
            const lanes e = exponential(load_part(x + i, rest, -INFINITY) - maximum); store_part(x + i, e, rest);
            total += e);
  const float scale = 1.0f / sum_of(total);
  FOR_LANES(valid, store(x + i, load(x + i) * scale), store_part(x + i, load_part(x + i, rest, 0) * scale, rest));
}

void NAME(ck_rope)(const float *x, const float *cosine, const float *sine, const int32_t *position, float *y, int64_t rows,
                   int64_t heads, int64_t width) {
  const int64_t half = width / 2;
  for (int64_t r = 0; r < rows * heads; r++, x += width, y += width) {
    const float *c = cosine + (int64_t)position[r / heads] * half, *s = sine + (int64_t)position[r / heads] * half;
    FOR_LANES(half, const lanes a = load(x + i); const lanes b = load(x + i + half);
              store(y + i, a * load(c + i) - b * load(s + i)); store(y + i + half, b * load(c + i) + a * load(s + i)),
              const lanes a = load_part(x + i, rest, 0); const lanes b = load_part(x + i + half, rest, 0);
              const lanes cosines = load_part(c + i, rest, 0); const lanes sines = load_part(s + i, rest, 0);
              store_part(y + i, a * cosines - b * sines, rest);
              store_part(y + i + half, b * cosines + a * sines, rest));
  }
}

void NAME(ck_silu_multiply)(float *gate, const float *up, int64_t n) {
  FOR_LANES(n, const lanes g = load(gate + i); store(gate + i, g * sigmoid(g) * load(up + i)),
            const lanes g = load_part(gate + i, rest, 0);
            store_part(gate + i, g * sigmoid(g) * load_part(up + i, rest, 0), rest));
}

void NAME(ck_silu)(float *x, int64_t n) {
  FOR_LANES(n, const lanes v = load(x + i); store(x + i, v * sigmoid(v)),
            const lanes v = load_part(x + i, rest, 0);
            store_part(x + i, v * sigmoid(v), rest));
}

void NAME(ck_gelu_quick)(float *x, int64_t n) {
  FOR_LANES(n, const lanes v = load(x + i); store(x + i, v * sigmoid(1.702f * v)),
            const lanes v = load_part(x + i, rest, 0);
            store_part(x + i, v * sigmoid(1.702f * v), rest));
}

void NAME(ck_gelu_erf)(float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.70710678118654752f));
}

void NAME(ck_gelu_tanh)(float *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const float inner = 0.79788456080286536f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
    x[i] = 0.5f * x[i] * (1.0f + tanhf(inner));
  }
}

void NAME(ck_add)(float *x, const float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] += y[i];
}

void NAME(ck_scale)(float *x, float factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] *= factor;
}

/* f16: the exponent is re-biased by a multiplication, which is exact for subnormals too. */
void NAME(ck_widen_f16)(const uint16_t *x, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const uint32_t magnitude = (uint32_t)(x[i] & 0x7fff) << 13;
    const uint32_t special = (x[i] & 0x7c00) == 0x7c00 ? 0x7f800000u : 0u; /* infinity and NaN keep all exponent bits */
    float value;
    memcpy(&value, &magnitude, sizeof value);
    value *= 0x1p112f;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits |= special | (uint32_t)(x[i] & 0x8000) << 16;
    memcpy(&y[i], &bits, sizeof bits);
  }
}

void NAME(ck_widen_bf16)(const uint16_t *x, float *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const uint32_t bits = (uint32_t)x[i] << 16;
    memcpy(&y[i], &bits, sizeof bits);
  }
}

void NAME(ck_narrow_bf16)(const float *x, uint16_t *y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    const uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u);
    y[i] = (uint16_t)((x[i] == x[i] ? rounded : bits | 0x400000u) >> 16);
  }
}

/* Two blocked edges are equal (-inf - -inf is not a number), and -inf is a legal score: only NaN and +inf are not finite. */
static void NAME(compare_block)(const float *before, const float *after, int64_t n, ck_difference *sum) {
  int64_t changed = 0, not_finite = 0;
  float largest = sum->largest;
  for (int64_t i = 0; i < n; i++) {
    uint32_t a, b;
    memcpy(&a, before + i, sizeof a);
    memcpy(&b, after + i, sizeof b);
    const float delta = fabsf(after[i] - before[i]);
    changed += a != b;
    not_finite += a != b && !(after[i] < INFINITY);
    largest = a != b && delta > largest ? delta : largest;
  }
  sum->changed += changed;
  sum->not_finite += not_finite;
  sum->largest = largest;
}

/* Most of what a plugin sees comes back as it was, and is done with at the speed of memory. */
void NAME(ck_compare)(const float *before, const float *after, int64_t n, ck_difference *sum) {
  enum { BLOCK = 1024 };
  for (int64_t i = 0; i < n; i += BLOCK) {
    const int64_t count = n - i < BLOCK ? n - i : BLOCK;
    if (memcmp(before + i, after + i, (size_t)count * sizeof *before) != 0)
      NAME(compare_block)(before + i, after + i, count, sum);
  }
}

void NAME(ck_rank_block)(const float *logits, int64_t n, float target, int64_t *above, int64_t *ties) {
  ilanes greater = 0, equal = 0; /* comparisons give 0 or -1 */
  FOR_LANES(n, const lanes v = load(logits + i); greater -= v > target; equal -= v == target,
            const lanes v = load_part(logits + i, rest, NAN);
            greater -= v > target; equal -= v == target);
  for (int i = 0; i < LANES; i++) {
    *above += greater[i];
    *ties += equal[i];
  }
}

void NAME(ck_log_sum_exp_block)(const float *logits, int64_t n, float *maximum, double *sum) {
  lanes highest = *maximum, total = 0.0f;
  FOR_LANES(n, highest = __builtin_elementwise_max(highest, load(logits + i)),
            highest = __builtin_elementwise_max(highest, load_part(logits + i, rest, -INFINITY)));
  const float top = max_of(highest);
  FOR_LANES(n, total += exponential(load(logits + i) - top),
            total += exponential(load_part(logits + i, rest, -INFINITY) - top));
  *sum = *sum * exp((double)*maximum - (double)top) + (double)sum_of(total);
  *maximum = top;
}
