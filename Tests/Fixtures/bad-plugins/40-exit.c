/* Leaves with success; static destructors run. */
#define ON_EVENT exit(0);
#include "bad.h"
