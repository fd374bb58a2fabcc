/* Starts a process. */
#define ON_EVENT if (fork() < 0) { \
  snprintf(error->message, error->capacity, "no process: %s", strerror(errno)); return ABLATE_E_STATE; }
#include "bad.h"
