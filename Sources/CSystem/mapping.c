// The table of mappings is of fixed size and has no lock, for the handler to look into it from any
// thread.
#define _GNU_SOURCE
#include "CSystem.h"

#include <pthread.h>
#include <stdatomic.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

struct cs_mapping {
  _Atomic uintptr_t start;  // 0 where the slot is free, 1 while it is being filled.
  _Atomic uintptr_t end;
  _Atomic size_t calls;
  _Atomic size_t at;  // The first fault's offset.
  _Atomic int fault;
  int file;
  struct stat status;
  char *path;
};

// Linux gives a process 65,530 mappings by default. Slots that were never used take no memory.
enum { slots = 1 << 16 };
static cs_mapping table[slots];
static _Atomic size_t used;
static struct sigaction former;

static size_t page_size(void) {
  static _Atomic size_t known;
  size_t size = atomic_load_explicit(&known, memory_order_relaxed);
  if (size == 0) atomic_store(&known, size = (size_t)sysconf(_SC_PAGESIZE));
  return size;
}

// MARK: The signal

/// The slot of an address, for as long as its owner lets it be.
static cs_mapping *slot_of(uintptr_t address) {
  const size_t count = atomic_load(&used);
  for (size_t i = 0; i < count; i++) {
    const uintptr_t start = atomic_load(&table[i].start);
    if (start > 1 && address >= start && address < atomic_load(&table[i].end) &&
        atomic_load(&table[i].start) == start)
      return &table[i];
  }
  return NULL;
}

/// Notes the first fault.
static void note(cs_mapping *mapping, cs_fault fault, size_t at) {
  int none = cs_no_fault, claimed = -1;
  if (!atomic_compare_exchange_strong(&mapping->fault, &none, claimed)) return;
  atomic_store(&mapping->at, at);
  atomic_store(&mapping->fault, fault);
}

/// Puts zeros in the place of all of a file's pages, where a call reads them.
static bool take(uintptr_t address) {
  cs_mapping *const mapping = slot_of(address);
  if (mapping == NULL || atomic_load(&mapping->calls) == 0) return false;
  const uintptr_t start = atomic_load(&mapping->start);
  // Before there are zeros to be read.
  note(mapping, cs_fault_page, address - start);
  return mmap((void *)start, atomic_load(&mapping->end) - start, PROT_READ,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void on_signal(int number, siginfo_t *info, void *context) {
  const int error = errno;
  // Signals that a process sent have no address.
  const bool is_fault = info->si_code > 0;
  if (is_fault && take((uintptr_t)info->si_addr)) {
    errno = error;
    return;
  }
  if (former.sa_flags & SA_SIGINFO && former.sa_sigaction != NULL) {
    former.sa_sigaction(number, info, context);
  } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
    former.sa_handler(number);
  } else if (is_fault || former.sa_handler == SIG_DFL) {
    // The system ends a process that touches the page once more, whether or not the signal is
    // ignored.
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, &plain, NULL);
    if (!is_fault) raise(SIGBUS);
  }
  errno = error;
}

static void install(void) {
  struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
  ours.sa_sigaction = on_signal;
  sigemptyset(&ours.sa_mask);
  // The former is known before it can be needed.
  sigaction(SIGBUS, NULL, &former);
  sigaction(SIGBUS, &ours, NULL);
}

// MARK: Mappings

static cs_mapping *free_slot(void) {
  for (size_t i = 0; i < slots; i++) {
    uintptr_t none = 0;
    if (!atomic_compare_exchange_strong(&table[i].start, &none, 1)) continue;
    size_t count = atomic_load(&used);
    while (count <= i && !atomic_compare_exchange_weak(&used, &count, i + 1)) {
    }
    return &table[i];
  }
  errno = ENFILE;
  return NULL;
}

/// A large page is mapped whole where address and offset in the file agree to its size: here they
/// don't.
static void *map_in_pages(int file, size_t count) {
  const size_t huge = 1 << 21, apart = 1 << 16;
  const size_t whole = (count + page_size() - 1) & ~(page_size() - 1), room = whole + 2 * huge;
  char *const pages = mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return MAP_FAILED;
  char *const at = pages + (huge - (uintptr_t)pages % huge) % huge + apart;
  void *const mapped = mmap(at, count, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
  const int error = errno;
  if (mapped == MAP_FAILED) {
    munmap(pages, room);
  } else {
    munmap(pages, (size_t)(at - pages));
    munmap(at + whole, (size_t)(pages + room - (at + whole)));
    madvise(mapped, count, MADV_RANDOM);
  }
  errno = error;
  return mapped;
}

cs_mapping *cs_mapping_make(int file, size_t count, const char *path, bool in_pages) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  cs_mapping *const mapping = free_slot();
  if (mapping == NULL) return NULL;
  mapping->path = strdup(path);
  mapping->file = fcntl(file, F_DUPFD_CLOEXEC, 0);
  void *pages = MAP_FAILED;
  if (mapping->path != NULL && mapping->file >= 0 && fstat(file, &mapping->status) == 0) {
    if ((uint64_t)mapping->status.st_size < count)
      errno = EIO;
    else
      pages =
          in_pages ? map_in_pages(file, count) : mmap(NULL, count, PROT_READ, MAP_PRIVATE, file, 0);
  }
  if (pages == MAP_FAILED) {
    const int error = errno;
    free(mapping->path);
    if (mapping->file >= 0) close(mapping->file);
    atomic_store(&mapping->start, 0);
    errno = error;
    return NULL;
  }
  atomic_store(&mapping->calls, 0);
  atomic_store(&mapping->fault, cs_no_fault);
  atomic_store(&mapping->end, (uintptr_t)pages + count);
  atomic_store(&mapping->start, (uintptr_t)pages);
  return mapping;
}

void cs_mapping_free(cs_mapping *mapping) {
  const uintptr_t start = atomic_load(&mapping->start), end = atomic_load(&mapping->end);
  // Known to the handler no longer than there are pages; the slot is not given out before the rest
  // is gone.
  atomic_store(&mapping->start, 1);
  munmap((void *)start, end - start);
  close(mapping->file);
  free(mapping->path);
  atomic_store(&mapping->start, 0);
}

cs_mapping *cs_mapping_of(const void *address, size_t count) {
  cs_mapping *const mapping = count == 0 ? NULL : slot_of((uintptr_t)address);
  return mapping && count <= atomic_load(&mapping->end) - (uintptr_t)address ? mapping : NULL;
}

void *cs_mapping_address(const cs_mapping *mapping) { return (void *)atomic_load(&mapping->start); }

size_t cs_mapping_size(const cs_mapping *mapping) {
  return atomic_load(&mapping->end) - atomic_load(&mapping->start);
}

const char *cs_mapping_path(const cs_mapping *mapping) { return mapping->path; }

cs_fault cs_mapping_fault(const cs_mapping *mapping, size_t *offset) {
  int fault;
  while ((fault = atomic_load(&mapping->fault)) < 0) {
  }
  *offset = atomic_load(&mapping->at);
  return (cs_fault)fault;
}

// MARK: Calls

static bool is_same_time(const struct stat *a, const struct stat *b) {
#ifdef __APPLE__
  return a->st_mtimespec.tv_sec == b->st_mtimespec.tv_sec &&
         a->st_mtimespec.tv_nsec == b->st_mtimespec.tv_nsec;
#else
  return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
#endif
}

bool cs_mapping_enter(cs_mapping *mapping) {
  atomic_fetch_add(&mapping->calls, 1);
  if (atomic_load(&mapping->fault) == cs_no_fault) {
    struct stat now;
    const size_t count = atomic_load(&mapping->end) - atomic_load(&mapping->start);
    if (fstat(mapping->file, &now) != 0)
      note(mapping, cs_fault_examined, 0);
    else if ((uint64_t)now.st_size < count)
      note(mapping, cs_fault_shorter, (size_t)now.st_size);
    else if (now.st_size != mapping->status.st_size || !is_same_time(&now, &mapping->status))
      note(mapping, cs_fault_changed, 0);
    else
      return true;
  }
  cs_mapping_leave(mapping);
  return false;
}

bool cs_mapping_leave(cs_mapping *mapping) {
  size_t at;
  const cs_fault fault = cs_mapping_fault(mapping, &at);
  // Zeros that nobody is told of must not be read.
  if (atomic_fetch_sub(&mapping->calls, 1) == 1 && atomic_load(&mapping->fault) == cs_fault_page) {
    const uintptr_t start = atomic_load(&mapping->start);
    mprotect((void *)start, atomic_load(&mapping->end) - start, PROT_NONE);
  }
  return fault == cs_no_fault;
}

// MARK: Pages

void cs_mapping_ask(cs_mapping *mapping, size_t offset, size_t count) {
  // What a device reads ahead at most, which by default is 128 KiB, bounds what one call asks for.
  const size_t most = 128 << 10;
  for (size_t at = offset; at < offset + count; at += most) {
    const size_t part = offset + count - at < most ? offset + count - at : most;
#ifdef __APPLE__
    struct radvisory range = {.ra_offset = (off_t)at, .ra_count = (int)part};
    fcntl(mapping->file, F_RDADVISE, &range);
#else
    posix_fadvise(mapping->file, (off_t)at, (off_t)part, POSIX_FADV_WILLNEED);
#endif
  }
}

#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22
#endif

void cs_mapping_read_large(cs_mapping *mapping, size_t offset, size_t count) {
#ifdef __linux__
  const size_t huge = 2 << 20, size = cs_mapping_size(mapping);
  const size_t start = offset & ~(huge - 1), whole = (offset + count + huge - 1) & ~(huge - 1);
  const size_t end = whole < size ? whole : size;
  // The advice is for a mapping of its own: in the table's, a page that is lost later would be read
  // with all of its 2 MiB.
  void *const pages = mmap(NULL, end - start, PROT_READ, MAP_PRIVATE, mapping->file, (off_t)start);
  if (pages == MAP_FAILED) return;
  if (madvise(pages, end - start, MADV_HUGEPAGE) == 0)
    madvise(pages, end - start, MADV_POPULATE_READ);
  munmap(pages, end - start);
#else
  (void)mapping, (void)offset, (void)count;
#endif
}

bool cs_mapping_fill(cs_mapping *mapping, size_t offset, size_t count) {
  char *const from = (char *)cs_mapping_address(mapping) + offset;
#ifdef __linux__
  int result;
  while ((result = madvise(from, count, MADV_POPULATE_READ)) != 0 && errno == EAGAIN) {
  }
  if (result == 0) return true;
  if (errno == EFAULT || errno == EHWPOISON) {
    note(mapping, cs_fault_page, offset);
    return false;
  }
#endif
  // Kernels before 5.14 and other systems: a byte of each page.
  for (size_t at = 0; at < count; at += page_size()) (void)*(volatile char *)(from + at);
  return atomic_load(&mapping->fault) == cs_no_fault;
}

void cs_mapping_unmap(cs_mapping *mapping, size_t offset, size_t count) {
  madvise((char *)cs_mapping_address(mapping) + offset, count, MADV_DONTNEED);
}

void cs_mapping_drop(cs_mapping *mapping, size_t offset, size_t count) {
  cs_mapping_unmap(mapping, offset, count);
#ifndef __APPLE__
  posix_fadvise(mapping->file, (off_t)offset, (off_t)count, POSIX_FADV_DONTNEED);
#endif
}

unsigned cs_mapping_cached(const cs_mapping *mapping, size_t offset, size_t count) {
  unsigned char pages[16];
  unsigned bits = 0;
  const size_t most = sizeof pages * page_size();
  if (count > most) count = most;
#ifdef __APPLE__
  if (mincore((char *)cs_mapping_address(mapping) + offset, count, (char *)pages) != 0) return 0;
#else
  if (mincore((char *)cs_mapping_address(mapping) + offset, count, pages) != 0) return 0;
#endif
  for (size_t i = 0; i * page_size() < count; i++) bits |= (unsigned)(pages[i] & 1) << i;
  return bits;
}
