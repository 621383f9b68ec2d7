// Memory of zeros for tables, in large pages where there is much of it.
#ifndef EMBEDKERNEL_MEMORY_H
#define EMBEDKERNEL_MEMORY_H

#include "CTokenizer.h"

/// `bytes` bytes, aligned to a cache line, or NULL.
void *cleared_memory(size_t bytes);
void free_cleared(void *memory, size_t bytes);

#endif
