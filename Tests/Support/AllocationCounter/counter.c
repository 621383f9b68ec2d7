// Defines malloc and its kin in the test program, which take precedence over glibc's, count, and
// pass on to glibc's own.
#include "AllocationCounter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_long count;

long allocation_count(void) { return atomic_load(&count); }

#if defined(__GLIBC__)
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

int allocations_are_counted(void) { return 1; }

static void add(void) { atomic_fetch_add_explicit(&count, 1, memory_order_relaxed); }

void *malloc(size_t size) { return add(), __libc_malloc(size); }
void *calloc(size_t n, size_t size) { return add(), __libc_calloc(n, size); }
void *realloc(void *p, size_t size) { return add(), __libc_realloc(p, size); }
void *aligned_alloc(size_t alignment, size_t size) {
  return add(), __libc_memalign(alignment, size);
}
void *memalign(size_t alignment, size_t size) { return add(), __libc_memalign(alignment, size); }
int posix_memalign(void **out, size_t alignment, size_t size) {
  add();
  void *memory = __libc_memalign(alignment, size);
  if (!memory) return ENOMEM;
  *out = memory;
  return 0;
}
#else
int allocations_are_counted(void) { return 0; }
#endif
