/* Closes every descriptor, its line to the host too. */
#define ON_EVENT for (int fd = 0; fd < 64; fd++) close(fd);
#include "bad.h"
