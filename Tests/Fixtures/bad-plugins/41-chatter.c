/* Hangs, and tells the host so without end. */
#define ON_EVENT for (;;) host->log(host->ctx, 0, "still here"), usleep(1000);
#include "bad.h"
