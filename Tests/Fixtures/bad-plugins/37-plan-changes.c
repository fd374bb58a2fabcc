/* Changes its plan in the host's hands once a lane is open. */
#define BEGIN_LANE access_to_z.site = "no such site", access_to_z.layer_first = 999;
#define ON_EVENT x[0] *= 2;
#include "bad.h"
