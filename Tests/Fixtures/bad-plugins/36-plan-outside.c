/* Plans a site that its manifest does not name. */
#define PLAN access->site = "q";
#include "bad.h"
