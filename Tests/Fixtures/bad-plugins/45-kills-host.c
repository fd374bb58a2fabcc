/* Sends its host a signal. */
#define ON_EVENT if (kill(getppid(), SIGKILL) < 0) { \
  snprintf(error->message, error->capacity, "no signal: %s", strerror(errno)); return ABLATE_E_STATE; }
#include "bad.h"
