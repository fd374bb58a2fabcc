/* Changes locale, signal handlers, folder and umask, and closes the standard streams. */
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#define ON_EVENT setlocale(LC_ALL, "de_DE.UTF-8"), signal(SIGINT, SIG_DFL), umask(0); \
  if (chdir("/")) return ABLATE_E_INTERNAL; close(0), close(1), close(2);
#include "bad.h"
