/* Writes past the end of the host's error message. */
#define CREATE memset(error->message, 'x', error->capacity + 1);
#include "bad.h"
