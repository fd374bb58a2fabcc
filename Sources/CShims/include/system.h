/* System calls for PluginRuntime that Swift cannot import, each with the reason. */
#ifndef ABLATE_SYSTEM_H
#define ABLATE_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

/* memfd_create and the F_SEAL_ constants need _GNU_SOURCE, which the Glibc module is not built with.
 * A read-only file in memory that holds exactly `bytes`: sealed against writes, growth and shrinking. -1 and errno. */
int32_t ablate_sealed_memfd(const char *name, const void *bytes, size_t count);

/* How the processor rounds, and whether it flushes denormals: a register (MXCSR's control bits, FPCR) without a name in C. */
uint32_t ablate_float_mode(void);
void ablate_set_float_mode(uint32_t mode);

/* Memory for two processes: of fixed size, so that neither can take it from under the other. -1 and errno. */
int32_t ablate_shared_memfd(const char *name, size_t count);

/* Fills the registers that arguments may come in, and the stack that the next call will lie in, with a pattern: what a function reads
 * without having been given it, is that. Swift cannot name registers. */
void ablate_poison_registers(uint64_t pattern);

#define ABLATE_CHILD_RETURNED 0    /* the function came back */
#define ABLATE_CHILD_SIGNAL 1      /* value: the signal that ended it */
#define ABLATE_CHILD_EXITED 2      /* value: the status with which it left; 0 too: it never came back */
#define ABLATE_CHILD_TIMED_OUT 3
#define ABLATE_CHILD_LOAD_FAILED 4 /* dlopen or dlsym failed there */
#define ABLATE_CHILD_NO_FORK 5     /* value: errno */

typedef struct ablate_child_call {
  const char *library; /* for dlopen: its constructors run in the child too */
  const char *symbol;
  /* ffi_call, handed in so that this file needs no libffi */
  void (*invoke)(void *cif, void (*function)(void), void *result, void **arguments);
  void *cif;
  void *result;     /* in shared memory */
  void **arguments; /* what they point to is shared memory where the caller wants to see it */
  uint64_t poison;  /* what registers hold that no argument fills */
  uint32_t timeout_ms;
  int32_t value; /* out */
} ablate_child_call;

/* fork() in C, since the child of a process with threads may run no Swift: the runtime's locks may be held for ever.
 * The child restores signal handling, silences the standard streams, loads the library, calls, and leaves. */
int32_t ablate_call_in_child(ablate_child_call *call);

#endif
