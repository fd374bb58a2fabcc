/* Keeps the view and writes to it from a thread of its own after the call. */
#include <pthread.h>
#include <unistd.h>
static void *later(void *view) { for (int i = 0; i < 200; i++) ((volatile float *)view)[0] = 1e30f, usleep(100); return NULL; }
#define ON_EVENT pthread_t thread; pthread_create(&thread, NULL, later, x), pthread_detach(thread);
#include "bad.h"
