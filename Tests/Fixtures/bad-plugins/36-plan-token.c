/* Plans row -5. */
#define PLAN static const int32_t row = -5; access->token_index = &row, access->n_token_index = 1;
#include "bad.h"
