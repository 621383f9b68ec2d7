// The C library for Swift, by one name on every system: its headers, and what Swift cannot import
// of them (errno, calls with `...`, macros with casts) or would write out in each place.
#ifndef CSYSTEM_H
#define CSYSTEM_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

#include "CSystemMapping.h"

/// The calling thread's `errno`; to be asked for before anything else runs.
static inline int cs_error(void) { return errno; }

/// The most bytes that this process has held so far, or 0 where the system does not tell.
static inline size_t cs_peak_memory(void) {
  struct rusage usage;
  if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0) return 0;
#ifdef __APPLE__
  return (size_t)usage.ru_maxrss;
#else
  return (size_t)usage.ru_maxrss << 10;
#endif
}

/// The environment, for a process to be started.
static inline char **cs_environment(void) {
  extern char **environ;
  return environ;
}

/// `open` with the permissions of a file that is made.
static inline int cs_open(const char *path, int flags, int permissions) {
  return open(path, flags, permissions);
}

/// Lets calls on a file that was opened without waiting wait from now on.
static inline void cs_wait_for(int file) {
  fcntl(file, F_SETFL, fcntl(file, F_GETFL) & ~O_NONBLOCK);
}

/// What a file is.
static inline bool cs_is_regular(const struct stat *status) { return S_ISREG(status->st_mode); }
static inline bool cs_is_folder(const struct stat *status) { return S_ISDIR(status->st_mode); }
static inline bool cs_is_pipe(const struct stat *status) { return S_ISFIFO(status->st_mode); }
static inline bool cs_is_device(const struct stat *status) {
  return S_ISBLK(status->st_mode) || S_ISCHR(status->st_mode);
}

/// Reads until `bytes` are full or the file ends, at `offset`, or below 0 where the file stands;
/// goes on where a signal interrupts. Returns how many bytes, or -1.
ssize_t cs_read(int file, void *bytes, size_t count, off_t offset);

/// Reads what there is, as the system's `read`.
static inline ssize_t cs_read_some(int file, void *bytes, size_t count) {
  return read(file, bytes, count);
}

/// Writes all of `bytes`, likewise. Returns whether it could.
bool cs_write(int file, const void *bytes, size_t count, off_t offset);

/// The width of a terminal in characters; 0 where it is none, or does not tell.
int cs_terminal_columns(int file);

/// `count` bytes of fresh zeroed pages, which are advised to be huge from 2 MiB on. NULL where the
/// system refuses.
void *cs_map(size_t count);

/// Whether the process may have that much address space more, which `ulimit -v` bounds.
bool cs_has_address_space(size_t count);

/// Advises memory of 2 MiB and more to be of huge pages, where the system knows such advice.
void cs_advise_huge_pages(void *address, size_t count);

#endif
