/* Never comes back from being loaded. */
#include "bad.h"
__attribute__((constructor)) static void boom(void) { for (;;) pause(); }
