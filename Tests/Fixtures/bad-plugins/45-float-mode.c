/* Makes the processor flush denormals to zero. */
#include <xmmintrin.h>
#define ON_EVENT _mm_setcsr(_mm_getcsr() | 0x8040);
#include "bad.h"
