/* Changes the shape and the strides that it was lent. */
#define ON_EVENT ((int64_t *)view->shape)[0] = 1 << 20, ((int64_t *)view->strides)[0] = -7, view->data = NULL;
#include "bad.h"
