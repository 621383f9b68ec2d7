// The pool of buffers for outputs. A new buffer's pages are touched here, huge ones where the
// system has them; a buffer that is given back waits in the list of its size for the next output as
// large. What lies idle is bounded: the one that waited longest goes first.
//
// Sizes are rounded up to one of eight steps between powers of two and to pages.
#define _GNU_SOURCE
#include "CEmbedKernelSupport.h"
#include "locks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

enum { line = 64, page = 4096, huge_page = 2 << 20, list_count = 64 * 8, bucket_count = 4096 };

typedef struct buffer {
  void *address;
  size_t size;
  bool is_idle;
  /// In the bucket of its address.
  struct buffer *next_in_bucket;
  /// Idle ones: of the same size, and by the time they were given back.
  struct buffer *next_of_size, *previous_of_size;
  struct buffer *newer, *older;
} buffer;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static buffer *buckets[bucket_count];
static buffer *idle[list_count];
static buffer *newest, *oldest;
static ek_buffers_info totals;
static bool has_limit;

void ekc_buffers_lock(void) { pthread_mutex_lock(&mutex); }
void ekc_buffers_unlock(void) { pthread_mutex_unlock(&mutex); }

// MARK: Sizes

size_t ekc_buffer_size(size_t bytes) {
  if (bytes <= page) return page;
  if (bytes > (size_t)PTRDIFF_MAX / 2) return 0;
  int shift = 63 - __builtin_clzll((unsigned long long)(bytes - 1)) - 3;
  size_t step = (size_t)1 << shift;
  size_t size = (bytes + step - 1) & ~(step - 1);
  return (size + page - 1) & ~(size_t)(page - 1);
}

/// Which list has the buffers of a rounded size.
static size_t list_of(size_t size) {
  int log = 63 - __builtin_clzll((unsigned long long)size);
  return (size_t)log * 8 + ((size >> (log - 3)) & 7);
}

// MARK: Memory

/// What the system or the C library gives, with every page in place.
static void *get(size_t size) {
  if (size < huge_page) {
    void *memory = NULL;
    if (posix_memalign(&memory, line, size) != 0) return NULL;
    memset(memory, 0, size);
    return memory;
  }
  size_t room = size + huge_page;
  char *start = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return NULL;
  char *aligned = (char *)(((uintptr_t)start + huge_page - 1) & ~(uintptr_t)(huge_page - 1));
  if (aligned > start) munmap(start, (size_t)(aligned - start));
  size_t behind = (size_t)(start + room - (aligned + size));
  if (behind > 0) munmap(aligned + size, behind);
#ifdef MADV_HUGEPAGE
  madvise(aligned, size, MADV_HUGEPAGE);
#endif
#ifdef MADV_POPULATE_WRITE
  if (madvise(aligned, size, MADV_POPULATE_WRITE) == 0) return aligned;
#endif
  for (size_t i = 0; i < size; i += page) ((volatile char *)aligned)[i] = 0;
  return aligned;
}

static void give(void *memory, size_t size) {
  if (size < huge_page)
    free(memory);
  else
    munmap(memory, size);
}

// MARK: Lists

static size_t bucket_of(const void *address) {
  return (size_t)(((uintptr_t)address >> 6) * 0x9E3779B97F4A7C15u >> 52);
}

static void push_idle(buffer *b) {
  size_t list = list_of(b->size);
  b->is_idle = true;
  b->previous_of_size = NULL;
  b->next_of_size = idle[list];
  if (idle[list] != NULL) idle[list]->previous_of_size = b;
  idle[list] = b;
  b->older = newest;
  b->newer = NULL;
  if (newest != NULL)
    newest->newer = b;
  else
    oldest = b;
  newest = b;
  totals.bytes_held += b->size;
}

static void take_idle(buffer *b) {
  b->is_idle = false;
  if (b->previous_of_size != NULL)
    b->previous_of_size->next_of_size = b->next_of_size;
  else
    idle[list_of(b->size)] = b->next_of_size;
  if (b->next_of_size != NULL) b->next_of_size->previous_of_size = b->previous_of_size;
  if (b->newer != NULL)
    b->newer->older = b->older;
  else
    newest = b->older;
  if (b->older != NULL)
    b->older->newer = b->newer;
  else
    oldest = b->newer;
  totals.bytes_held -= b->size;
}

static void forget(buffer *b) {
  buffer **link = &buckets[bucket_of(b->address)];
  while (*link != b) link = &(*link)->next_in_bucket;
  *link = b->next_in_bucket;
}

static uint64_t trim(uint64_t limit) {
  uint64_t released = 0;
  while (totals.bytes_held > limit && oldest != NULL) {
    buffer *b = oldest;
    take_idle(b);
    forget(b);
    released += b->size;
    give(b->address, b->size);
    free(b);
  }
  return released;
}

/// 1 GiB, or a sixteenth of the machine's memory.
static uint64_t first_limit(void) {
  long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
  uint64_t limit = (uint64_t)1 << 30;
  if (pages <= 0 || size <= 0) return limit;
  uint64_t share = (uint64_t)pages / 16 * (uint64_t)size;
  return share < limit ? share : limit;
}

static uint64_t limit(void) {
  if (!has_limit) {
    totals.limit = first_limit();
    has_limit = true;
  }
  return totals.limit;
}

// MARK: The pool

void *ekc_buffer_reuse(size_t bytes) {
  size_t size = ekc_buffer_size(bytes);
  if (size == 0) return NULL;
  ekc_buffers_lock();
  // The list of a size holds no smaller one, as sizes are those of the lists.
  buffer *b = idle[list_of(size)];
  if (b != NULL) {
    take_idle(b);
    totals.bytes_in_use += b->size;
    totals.taken++;
    totals.reused++;
  }
  ekc_buffers_unlock();
  return b == NULL ? NULL : b->address;
}

void *ekc_buffer_make(size_t bytes) {
  size_t size = ekc_buffer_size(bytes);
  buffer *b = size == 0 ? NULL : malloc(sizeof *b);
  if (b == NULL) return NULL;
  // Touching pages takes long: nobody waits for it.
  void *memory = get(size);
  if (memory == NULL) {
    free(b);
    return NULL;
  }
  *b = (buffer){.address = memory, .size = size};
  ekc_buffers_lock();
  buffer **bucket = &buckets[bucket_of(memory)];
  b->next_in_bucket = *bucket;
  *bucket = b;
  totals.bytes_in_use += size;
  totals.taken++;
  ekc_buffers_unlock();
  return memory;
}

bool ekc_buffer_return(void *address) {
  ekc_buffers_lock();
  buffer *b = buckets[bucket_of(address)];
  while (b != NULL && b->address != address) b = b->next_in_bucket;
  bool is_taken = b != NULL && !b->is_idle;
  if (is_taken) {
    totals.bytes_in_use -= b->size;
    push_idle(b);
    if (totals.bytes_held > limit()) {
      // One that is too large by itself goes at once, rather than all others before it.
      if (b->size > limit()) {
        take_idle(b);
        forget(b);
        give(b->address, b->size);
        free(b);
      } else {
        trim(limit());
      }
    }
  }
  ekc_buffers_unlock();
  return is_taken;
}

uint64_t ekc_buffers_trim(uint64_t most) {
  ekc_buffers_lock();
  uint64_t released = trim(most);
  ekc_buffers_unlock();
  return released;
}

void ekc_buffers_describe(ek_buffers_info *info) {
  ekc_buffers_lock();
  limit();
  *info = totals;
  ekc_buffers_unlock();
}

void ekc_buffers_limit(uint64_t bytes) {
  ekc_buffers_lock();
  totals.limit = bytes;
  has_limit = true;
  trim(bytes);
  ekc_buffers_unlock();
}

void ek_buffer_release(void *address) {
  if (address != NULL) ekc_buffer_return(address);
}
