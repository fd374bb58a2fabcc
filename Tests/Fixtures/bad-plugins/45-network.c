/* Opens a socket. */
#include <sys/socket.h>
#define ON_EVENT if (socket(AF_INET, SOCK_STREAM, 0) < 0) { \
  snprintf(error->message, error->capacity, "no socket: %s", strerror(errno)); return ABLATE_E_STATE; }
#include "bad.h"
