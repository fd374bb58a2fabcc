/* The loader picks, once, the widest version of each kernel that the CPU has. */
#include "CKernels.h"

#if defined(__x86_64__)
#define DISPATCH(kernel)                                             \
  __typeof__(kernel) kernel##_v1, kernel##_v3, kernel##_v4;          \
  static void *kernel##_resolver(void) {                             \
    __builtin_cpu_init();                                            \
    if (__builtin_cpu_supports("x86-64-v4")) return (void *)kernel##_v4; \
    if (__builtin_cpu_supports("x86-64-v3")) return (void *)kernel##_v3; \
    return (void *)kernel##_v1;                                      \
  }                                                                  \
  __typeof__(kernel) kernel __attribute__((ifunc(#kernel "_resolver")));

DISPATCH(ck_rms_norm)
DISPATCH(ck_layer_norm)
DISPATCH(ck_softmax)
DISPATCH(ck_rope)
DISPATCH(ck_silu_multiply)
DISPATCH(ck_silu)
DISPATCH(ck_gelu_quick)
DISPATCH(ck_gelu_erf)
DISPATCH(ck_gelu_tanh)
DISPATCH(ck_add)
DISPATCH(ck_scale)
DISPATCH(ck_widen_f16)
DISPATCH(ck_widen_bf16)
DISPATCH(ck_narrow_bf16)
DISPATCH(ck_compare)
DISPATCH(ck_rank_block)
DISPATCH(ck_log_sum_exp_block)
#endif
