/* Elementwise and row-wise loops, one source for several CPU targets. All arrays are dense f32.
 *
 * Every reduction runs over 16 lanes in a fixed order, without contraction to FMA, so that a row gives the same bits on
 * SSE2, AVX2 and AVX-512, alone or among other rows. Swift references stand in Tests/ModelsTests/KernelTests.swift. */
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdint.h>

/* y[r] = x[r] * gain / sqrt(mean(x[r]^2) + eps): RMSNorm of Llama. x, y [rows, width]; gain [width]. */
void ck_rms_norm(const float *x, const float *gain, float eps, float *y, int64_t rows, int64_t width);

/* y[r] = (x[r] - mean) / sqrt(variance + eps) * gain + bias: LayerNorm of CLIP. */
void ck_layer_norm(const float *x, const float *gain, const float *bias, float eps, float *y, int64_t rows, int64_t width);

/* In place over the first `valid` of `columns` entries; the others become 0. Entries of -inf become 0; a row without any
 * finite entry becomes all 0. */
void ck_softmax(float *x, int64_t valid, int64_t columns);

/* Rotary embedding with halves split (Hugging Face's rotate_half). x, y [rows, heads, width]; cosine, sine
 * [positions, width / 2]; position[r] is the row of the tables. y may be x. */
void ck_rope(const float *x, const float *cosine, const float *sine, const int32_t *position, float *y, int64_t rows,
             int64_t heads, int64_t width);

/* gate = silu(gate) * up: the gated MLP of Llama. */
void ck_silu_multiply(float *gate, const float *up, int64_t n);

/* In place. silu: x * sigmoid(x). quick: x * sigmoid(1.702 x) (CLIP). erf: exact. tanh: the approximation of GPT-2. */
void ck_silu(float *x, int64_t n);
void ck_gelu_quick(float *x, int64_t n);
void ck_gelu_erf(float *x, int64_t n);
void ck_gelu_tanh(float *x, int64_t n);

/* x += y */
void ck_add(float *x, const float *y, int64_t n);
/* x *= factor */
void ck_scale(float *x, float factor, int64_t n);

/* Exact widening of half-precision weights. */
void ck_widen_f16(const uint16_t *x, float *y, int64_t n);
void ck_widen_bf16(const uint16_t *x, float *y, int64_t n);

/* Rounds to bf16, to nearest and ties to even; NaN stays NaN. */
void ck_narrow_bf16(const float *x, uint16_t *y, int64_t n);

/* What a write changed: how many entries differ in their bits, the largest |after - before|, how many became not finite. */
typedef struct ck_difference {
  int64_t changed;
  int64_t not_finite;
  float largest;
  float _pad;
} ck_difference;
void ck_compare(const float *before, const float *after, int64_t n, ck_difference *sum);

/* The logit lens over one block of logits: adds to *above and *ties the entries greater than and equal to `target`, and
 * folds the block into the running maximum and sum of exponentials of a log-sum-exp. n is below 2^31. */
void ck_rank_block(const float *logits, int64_t n, float target, int64_t *above, int64_t *ties);
void ck_log_sum_exp_block(const float *logits, int64_t n, float *maximum, double *sum);

#endif
