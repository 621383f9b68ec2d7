// What the library behind embedkernel.h needs of C: errors of a thread, names of handles, and the
// pool of buffers. Not installed.
#ifndef CEMBEDKERNEL_SUPPORT_H
#define CEMBEDKERNEL_SUPPORT_H

#include "embedkernel.h"

#include <stdbool.h>

// MARK: Errors

/// Sets this thread's error; texts are copied, NULL is "". Texts that are too long are cut.
void ekc_set_error(const ek_error *error);

// MARK: Handles
// A handle is a number that says a place in a list and how often the place was used before, so that
// no address of a caller's is ever followed.

/// A new handle for `object`, or NULL where there is no memory. `kind` is above 0.
void *ekc_handle_make(void *object, uint32_t kind);

/// The object of a handle, or NULL where it is none of this kind: between `ekc_handles_lock` and
/// `ekc_handles_unlock` nobody takes it away.
void *ekc_handle_find(const void *handle, uint32_t kind);

/// Takes a handle out of the list and gives its object, or NULL.
void *ekc_handle_remove(const void *handle, uint32_t kind);

void ekc_handles_lock(void);
void ekc_handles_unlock(void);

// MARK: Kept objects
// A few objects that calls work in, one call at a time, and leave for the next.

/// One of the kept objects, which is no longer kept, or NULL.
void *ekc_spare_take(void);
/// Keeps an object; false where enough are kept already.
bool ekc_spare_keep(void *object);

// MARK: Buffers

/// An idle buffer of at least `bytes`, or NULL.
void *ekc_buffer_reuse(size_t bytes);
/// A new buffer, touched; NULL where the system has no memory.
void *ekc_buffer_make(size_t bytes);
/// Takes a buffer back; false where the address is none that was given out.
bool ekc_buffer_return(void *buffer);
/// Releases what lies idle beyond `limit`, oldest first; returns the bytes.
uint64_t ekc_buffers_trim(uint64_t limit);
void ekc_buffers_describe(ek_buffers_info *info);
void ekc_buffers_limit(uint64_t bytes);
/// The bytes that a buffer for `bytes` takes; 0 where there is no such number.
size_t ekc_buffer_size(size_t bytes);

// MARK: Threads

/// The number that `ek_set_threads` set.
int32_t ekc_default_threads(void);
void ekc_set_default_threads(int32_t threads);

#endif
