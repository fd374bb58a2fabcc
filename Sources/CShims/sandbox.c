#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int32_t ablate_spawn_worker(char *const arguments[], const int32_t descriptors[3], int32_t errors, char *const environment[]) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int failure = posix_spawn_file_actions_init(&actions);
  if (failure) return -failure;
  failure = posix_spawnattr_init(&attributes);
  if (failure) {
    posix_spawn_file_actions_destroy(&actions);
    return -failure;
  }
  /* By way of high numbers: what is to be 3 may be 4 now. */
  posix_spawn_file_actions_adddup2(&actions, errors, 2);
  for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, descriptors[i], 900 + i);
  for (int i = 0; i < 3; i++) posix_spawn_file_actions_adddup2(&actions, 900 + i, 3 + i);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&actions, 6);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t process = 0;
  failure = posix_spawn(&process, arguments[0], &actions, &attributes, arguments, environment);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return failure ? -failure : process;
}

int32_t ablate_log_pipe(int32_t ends[2]) { return pipe2(ends, O_CLOEXEC | O_NONBLOCK); }

void ablate_die_with_parent(void) { prctl(PR_SET_PDEATHSIG, SIGKILL); }

static int drop_capabilities(void) {
  struct { uint32_t version; int32_t process; } header = {0x20080522, 0}; /* _LINUX_CAPABILITY_VERSION_3 */
  struct { uint32_t effective, permitted, inheritable; } none[2];
  memset(none, 0, sizeof none);
  return syscall(SYS_capset, &header, none) == 0;
}

uint32_t ablate_drop_privileges(int32_t allows_writable_code) {
  const int no_writable_code = 65; /* PR_SET_MDWE, Linux 6.3 */
  uint32_t granted = 0;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) granted |= ABLATE_NO_NEW_PRIVILEGES;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0) granted |= ABLATE_NOT_DUMPABLE;
  if (drop_capabilities()) granted |= ABLATE_NO_CAPABILITIES;
  if (!allows_writable_code && prctl(no_writable_code, 1, 0, 0, 0) == 0) granted |= ABLATE_NO_WRITABLE_CODE;
  return granted;
}

/* Layouts and numbers of linux/landlock.h as of Linux 6.12. */
struct landlock_ruleset { uint64_t files, network, scopes; };
struct __attribute__((packed)) landlock_beneath { uint64_t allowed; int32_t parent; };
enum { create_ruleset = 444, add_rule = 445, restrict_self = 446, version_flag = 1, path_beneath = 1 };
#define LANDLOCK_EXECUTE (1ull << 0)
#define LANDLOCK_READ_FILE (1ull << 2)
#define LANDLOCK_READ_FOLDER (1ull << 3)

int32_t ablate_landlock(const char *const *readable, size_t count) {
  long version = syscall(create_ruleset, NULL, 0, version_flag);
  if (version < 1) return 0;
  /* The number of rights to files grew with the version: 13, with refer 14, truncate 15, and from 5 on ioctl on devices 16. */
  int rights = version == 1 ? 13 : version == 2 ? 14 : version < 5 ? 15 : 16;
  struct landlock_ruleset ruleset = {(1ull << rights) - 1, version >= 4 ? 3 : 0, version >= 6 ? 3 : 0};
  size_t size = version >= 6 ? sizeof ruleset : version >= 4 ? 16 : 8;
  int handle = (int)syscall(create_ruleset, &ruleset, size, 0);
  if (handle < 0) return 0;
  for (size_t i = 0; i < count; i++) {
    struct stat facts;
    struct landlock_beneath rule = {LANDLOCK_EXECUTE | LANDLOCK_READ_FILE, open(readable[i], O_PATH | O_CLOEXEC)};
    if (rule.parent < 0) continue;
    if (fstat(rule.parent, &facts) == 0 && S_ISDIR(facts.st_mode)) rule.allowed |= LANDLOCK_READ_FOLDER;
    syscall(add_rule, handle, path_beneath, &rule, 0);
    close(rule.parent);
  }
  long status = syscall(restrict_self, handle, 0);
  close(handle);
  return status == 0 ? (int32_t)version : 0;
}

struct visit { void (*each)(void *context, const char *path); void *context; };

static int visit_library(struct dl_phdr_info *info, size_t size, void *data) {
  (void)size;
  struct visit *visit = data;
  if (info->dlpi_name && info->dlpi_name[0] == '/') visit->each(visit->context, info->dlpi_name);
  return 0;
}

void ablate_loaded_libraries(void (*each)(void *context, const char *path), void *context) {
  struct visit visit = {each, context};
  dl_iterate_phdr(visit_library, &visit);
}
