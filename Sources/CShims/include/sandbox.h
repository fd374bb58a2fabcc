/* What a worker gives up before it loads a plugin, and how the host starts one: system calls that Swift cannot import (varargs, or
 * constants newer than Debian 12's headers). */
#ifndef ABLATE_SANDBOX_H
#define ABLATE_SANDBOX_H

#include <stddef.h>
#include <stdint.h>

/* Starts the program arguments[0] in a process group of its own, so that a terminal's ^C is not for it, with these descriptors as 3, 4 and 5, its
 * standard error on `errors`, nothing else open, and only this environment. The process, or minus the error number. */
int32_t ablate_spawn_worker(char *const arguments[], const int32_t descriptors[3], int32_t errors, char *const environment[]);

/* A pipe for what a worker says: whoever writes to it when it is full loses that. */
int32_t ablate_log_pipe(int32_t ends[2]);

#define ABLATE_NO_NEW_PRIVILEGES 1u /* no program gains rights by exec */
#define ABLATE_NOT_DUMPABLE 2u      /* no other process looks into this one */
#define ABLATE_NO_CAPABILITIES 4u   /* of root's powers none is left */
#define ABLATE_NO_WRITABLE_CODE 8u  /* memory never becomes executable after it was writable (Linux 6.3) */

/* Each alone, the last unless it is to be allowed; which of them this kernel granted. */
uint32_t ablate_drop_privileges(int32_t allows_writable_code);

/* Landlock: no file but those below `readable` can be opened, and those only to read and execute; no TCP (ABI 4), no signals and no
 * abstract sockets beyond this process (ABI 6). The ABI's version, 0 where the kernel has none. */
int32_t ablate_landlock(const char *const *readable, size_t count);

/* The host is gone: so is the worker. */
void ablate_die_with_parent(void);

/* Calls `each` with the path of every library that this process has loaded. */
void ablate_loaded_libraries(void (*each)(void *context, const char *path), void *context);

#endif
