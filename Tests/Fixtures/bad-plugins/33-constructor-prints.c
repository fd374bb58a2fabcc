/* Prints where the host writes its results. */
#include "bad.h"
__attribute__((constructor)) static void shout(void) { puts("BAD OUTPUT"), fflush(stdout); }
