/* Starts ten thousand threads. */
#include <pthread.h>
#include <unistd.h>
static void *sleeper(void *p) { return sleep(60), p; }
#define ON_EVENT for (int i = 0; i < 10000; i++) { pthread_t t; if (pthread_create(&t, NULL, sleeper, NULL)) { \
  snprintf(error->message, error->capacity, "no thread beyond a limit"); return ABLATE_E_MEMORY; } }
#include "bad.h"
