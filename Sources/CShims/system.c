#define _GNU_SOURCE
#include "system.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int32_t ablate_sealed_memfd(const char *name, const void *bytes, size_t count) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  size_t written = 0;
  while (written < count) {
    ssize_t n = write(fd, (const char *)bytes + written, count - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) goto fail;
    written += (size_t)n;
  }
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) goto fail;
  return fd;
fail:;
  int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

int32_t ablate_shared_memfd(const char *name, size_t count) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -1;
  if (ftruncate(fd, (off_t)count) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0) return fd;
  int reason = errno;
  close(fd);
  errno = reason;
  return -1;
}

#if defined(__x86_64__)
#include <xmmintrin.h>
uint32_t ablate_float_mode(void) { return _mm_getcsr() & ~0x3Fu; } /* the low bits are flags that any operation sets */
void ablate_set_float_mode(uint32_t mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
uint32_t ablate_float_mode(void) {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return (uint32_t)mode;
}
void ablate_set_float_mode(uint32_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)mode)); }
#endif

__attribute__((noinline)) void ablate_poison_registers(uint64_t pattern) {
  volatile uint64_t stack[1024];
  for (size_t i = 0; i < sizeof stack / sizeof *stack; i++) stack[i] = pattern;
#if defined(__x86_64__)
#define SPREAD(n) "movdqa %%xmm0, %%xmm" #n "\n"
  __asm__ volatile("movq %0, %%xmm0\n punpcklqdq %%xmm0, %%xmm0\n" SPREAD(1) SPREAD(2) SPREAD(3) SPREAD(4) SPREAD(5) SPREAD(6)
                       SPREAD(7) "mov %0, %%r8\n mov %0, %%r9\n mov %0, %%r10\n mov %0, %%r11\n"
                   : : "r"(pattern)
                   : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "r8", "r9", "r10", "r11");
#elif defined(__aarch64__)
#define SPREAD(n) "dup v" #n ".2d, %0\n"
  __asm__ volatile(SPREAD(0) SPREAD(1) SPREAD(2) SPREAD(3) SPREAD(4) SPREAD(5) SPREAD(6) SPREAD(7)
                   "mov x4, %0\n mov x5, %0\n mov x6, %0\n mov x7, %0\n"
                   : : "r"(pattern) : "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "x4", "x5", "x6", "x7");
#endif
}

#define STATE_RETURNED 1
#define STATE_NOT_LOADED 2

static void child(const ablate_child_call *call, volatile int32_t *state) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGINT, SIGTERM, SIGALRM};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) signal(faults[i], SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  const struct rlimit no_core = {0, 0};
  setrlimit(RLIMIT_CORE, &no_core);
  int null = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);

  void *library = dlopen(call->library, RTLD_NOW | RTLD_LOCAL);
  void *function = library ? dlsym(library, call->symbol) : NULL;
  if (!function) {
    *state = STATE_NOT_LOADED;
    _exit(1);
  }
  ablate_poison_registers(call->poison);
  call->invoke(call->cif, (void (*)(void))function, call->result, call->arguments);
  *state = STATE_RETURNED;
  _exit(0);
}

/* Waits with WNOHANG: a SIGCHLD handler or a pidfd would be one more thing to share with the host. */
static int32_t reap(pid_t pid, uint32_t timeout_ms, int *status) {
  struct timespec start, now, nap = {0, 500000};
  clock_gettime(CLOCK_MONOTONIC, &start);
  for (;;) {
    pid_t ended = waitpid(pid, status, WNOHANG);
    if (ended == pid || (ended < 0 && errno != EINTR)) return 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t elapsed = (now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000;
    if (elapsed >= timeout_ms) {
      kill(pid, SIGKILL);
      while (waitpid(pid, status, 0) < 0 && errno == EINTR) {}
      return 1;
    }
    nanosleep(&nap, NULL);
  }
}

int32_t ablate_call_in_child(ablate_child_call *call) {
  call->value = 0;
  volatile int32_t *state =
      mmap(NULL, sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (state == MAP_FAILED) {
    call->value = errno;
    return ABLATE_CHILD_NO_FORK;
  }
  pid_t pid = fork();
  if (pid == 0) child(call, state);
  int32_t outcome = ABLATE_CHILD_NO_FORK;
  int status = 0;
  if (pid < 0) {
    call->value = errno;
  } else if (reap(pid, call->timeout_ms, &status)) {
    outcome = ABLATE_CHILD_TIMED_OUT;
  } else if (WIFSIGNALED(status)) {
    outcome = ABLATE_CHILD_SIGNAL;
    call->value = WTERMSIG(status);
  } else if (*state == STATE_RETURNED) {
    outcome = ABLATE_CHILD_RETURNED;
  } else if (*state == STATE_NOT_LOADED) {
    outcome = ABLATE_CHILD_LOAD_FAILED;
  } else {
    outcome = ABLATE_CHILD_EXITED;
    call->value = WEXITSTATUS(status);
  }
  munmap((void *)state, sizeof *state);
  return outcome;
}
