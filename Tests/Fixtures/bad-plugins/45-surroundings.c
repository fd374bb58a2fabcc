/* Changes locale, a signal handler and the folder, and closes the standard streams. */
#include <fcntl.h>
#include <locale.h>
#define ON_EVENT setlocale(LC_ALL, "C.UTF-8"), signal(SIGFPE, SIG_IGN); \
  if (chdir("/")) return ABLATE_E_INTERNAL; close(0), close(1), close(2);
#include "bad.h"
