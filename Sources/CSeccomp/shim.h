#include <seccomp.h>
/* Actions are function-like macros, which Swift does not import; rules come as arrays, since varargs are not imported either. */
static inline uint32_t cseccomp_allow(void) { return SCMP_ACT_ALLOW; }
static inline uint32_t cseccomp_refuse(uint16_t error) { return SCMP_ACT_ERRNO(error); }
