// Helper threads for calls of some hundred microseconds: handing work over allocates nothing and
// takes no lock, and a helper that wakes too late is not waited for.
#ifndef EMBEDKERNEL_CTHREADPOOL_H
#define EMBEDKERNEL_CTHREADPOOL_H

#include <stddef.h>

/// Calls `body(context)` on the calling thread and on up to `helpers` others at once, and returns
/// when all have returned.
///
/// `body` takes parts of the work until none is left, so it is right for any number of threads,
/// one included: helpers that are busy with another caller's work or still asleep when the caller
/// has done all parts are left out. Any number of threads may call at once, also from a `body`.
///
/// The threads, one for each CPU but one, start with the first call and last as long as the
/// process. They look out for work for some 30 microseconds after a call, then sleep. After `fork`
/// a child starts threads of its own.
void ek_pool_run(size_t helpers, void (*body)(void *context), void *context);

/// The CPUs this process may run on.
size_t ek_available_cpus(void);

/// A lock that one thread holds at a time; not to be taken twice by one.
typedef struct ek_lock ek_lock;

/// A new lock, or NULL where there is no memory for it.
ek_lock *ek_lock_make(void);
void ek_lock_take(ek_lock *lock);
void ek_lock_give(ek_lock *lock);
void ek_lock_free(ek_lock *lock);

#endif
