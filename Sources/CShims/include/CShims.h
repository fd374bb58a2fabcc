#ifndef CSHIMS_H
#define CSHIMS_H

#include "heap.h"
#include "system.h"

/* libgomp exports these C functions without a header. Loops of ours that run on its team share oneDNN's threads, where a
 * second pool would fight oneDNN's spinning workers. */
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);
void omp_set_num_threads(int);

#endif
