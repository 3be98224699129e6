/*
 * For tests only: a clock that somebody sets. Named in a /etc/ld.so.preload of a mount namespace of its own, this moves
 * the wall clock of every program there by as many milliseconds as the file beside the library says, a 64-bit integer
 * in FILE.offset. It is mapped, so that whoever writes there sets the clock of what runs, as `date --set` would.
 * Monotonic clocks go on as they are: nobody can set those.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

static const int64_t unmoved;
static const volatile int64_t *offset_ms = &unmoved;

/* Before the program's first line, and before a service host may open nothing any more. */
__attribute__((constructor)) static void map_offset(void) {
  Dl_info self;
  char path[4096];
  if (!dladdr((const void *)&unmoved, &self)) return;
  if (snprintf(path, sizeof path, "%s.offset", self.dli_fname) >= (int)sizeof path) return;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  void *mapped = mmap(NULL, sizeof *offset_ms, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped != MAP_FAILED) offset_ms = mapped;
}

static int is_wall_clock(clockid_t clock) {
  return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

API int clock_gettime(clockid_t clock, struct timespec *now) {
  /* The kernel is asked itself: looking libc's function up would need libc to be ready. */
  if (syscall(SYS_clock_gettime, clock, now) != 0) return -1;
  if (!is_wall_clock(clock)) return 0;
  int64_t ms = *offset_ms;
  now->tv_sec += ms / 1000;
  now->tv_nsec += ms % 1000 * 1000000;
  if (now->tv_nsec < 0) {
    now->tv_nsec += 1000000000;
    now->tv_sec--;
  } else if (now->tv_nsec >= 1000000000) {
    now->tv_nsec -= 1000000000;
    now->tv_sec++;
  }
  return 0;
}

API int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone; /* obsolete: no program of today asks for it */
  if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return -1;
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return 0;
}

API time_t time(time_t *copy) {
  struct timespec exact;
  if (clock_gettime(CLOCK_REALTIME, &exact) != 0) return (time_t)-1;
  if (copy != NULL) *copy = exact.tv_sec;
  return exact.tv_sec;
}
