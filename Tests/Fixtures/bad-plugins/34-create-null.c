/* Makes no instance and says nothing. */
#define CREATE return NULL;
#include "bad.h"
