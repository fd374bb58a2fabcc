/* Emits what is no UTF-8. */
#define ON_EVENT int32_t o[] = {0, 2}; \
  ablate_column c = {.struct_size = sizeof c, .type = 4, .name = "v", .data = "\xff\xfe", .offsets = o}; \
  host->emit(host->ctx, 0, "t", &c, 1, 1);
#include "bad.h"
