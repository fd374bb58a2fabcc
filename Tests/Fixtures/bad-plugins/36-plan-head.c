/* Plans head 77. */
#define PLAN static const int32_t head = 77; access->heads = &head, access->n_heads = 1;
#include "bad.h"
