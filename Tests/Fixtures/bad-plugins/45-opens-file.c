/* Reads a file of the user's. */
#define ON_EVENT FILE *f = fopen("/etc/passwd", "r"); if (!f) { \
  snprintf(error->message, error->capacity, "no file: %s", strerror(errno)); return ABLATE_E_STATE; }
#include "bad.h"
