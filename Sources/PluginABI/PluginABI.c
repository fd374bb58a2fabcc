#include "ablate_plugin.h"
