/* Ends the process with success while it is loaded. */
#include "bad.h"
__attribute__((constructor)) static void boom(void) { _exit(0); }
