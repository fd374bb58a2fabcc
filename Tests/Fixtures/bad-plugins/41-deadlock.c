/* Waits for a lock that it holds. */
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
#define ON_EVENT pthread_mutex_lock(&lock), pthread_mutex_lock(&lock);
#include "bad.h"
