// Counts the process's heap allocations, to hold hot paths to none.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

/// The number of calls of malloc, calloc, realloc and aligned allocation so far, on any thread.
long allocation_count(void);

/// Whether calls are counted on this platform (glibc).
int allocations_are_counted(void);
#endif
