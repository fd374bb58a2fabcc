/* Emits a column of a type that there is not. */
#define ON_EVENT double v = 1; ablate_column c = {.struct_size = sizeof c, .type = 99, .name = "v", .data = &v}; \
  host->emit(host->ctx, 0, "t", &c, 1, 1);
#include "bad.h"
