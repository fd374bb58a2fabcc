/* Makes memory executable. */
#include <sys/mman.h>
#define ON_EVENT if (mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) { \
  snprintf(error->message, error->capacity, "no code: %s", strerror(errno)); return ABLATE_E_STATE; }
#include "bad.h"
