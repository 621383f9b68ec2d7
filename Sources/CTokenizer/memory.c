// Memory that tables and ids are about to fill: what the system gives at once, and in large pages.
#define _DEFAULT_SOURCE
#include "memory.h"

#include <stdlib.h>
#include <sys/mman.h>

/// Pages of this size, where the system has them, spare a large table most faults and misses of the
/// TLB.
enum { LARGE_PAGE = 2 << 20 };

void ek_expect_writes(void *at, size_t bytes) {
#ifdef MADV_HUGEPAGE
  const uintptr_t from = ((uintptr_t)at + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
  const uintptr_t to = ((uintptr_t)at + bytes) / LARGE_PAGE * LARGE_PAGE;
  // Where it is refused, pages are small.
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)at, (void)bytes;
#endif
}

void *cleared_memory(size_t bytes) {
  void *memory = NULL;
  if (bytes < LARGE_PAGE) {
    if (posix_memalign(&memory, 64, bytes) != 0) return NULL;
    return memset(memory, 0, bytes);
  }
  // Zeros of the system's, cut to where a large page begins.
  char *all = mmap(NULL, bytes + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
  if (all == MAP_FAILED) return NULL;
  const size_t before = -(uintptr_t)all % LARGE_PAGE;
  if (before > 0) munmap(all, before);
  munmap(all + before + bytes, LARGE_PAGE - before);
  ek_expect_writes(all + before, bytes);
  return all + before;
}

void free_cleared(void *memory, size_t bytes) {
  if (bytes >= LARGE_PAGE)
    munmap(memory, bytes);
  else
    free(memory);
}
