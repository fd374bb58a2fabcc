/* Emits a billion rows. */
#define ON_EVENT host->emit(host->ctx, 0, "t", NULL, 0, 1000000000);
#include "bad.h"
