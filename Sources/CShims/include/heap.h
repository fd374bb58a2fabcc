/* Bytes that malloc has given out and not got back. <malloc.h> is no part of Swift's Glibc module. */
#ifndef ABLATE_HEAP_H
#define ABLATE_HEAP_H

#include <malloc.h>
#include <stddef.h>

static inline size_t ablate_heap_bytes(void) { return mallinfo2().uordblks; }

#endif
