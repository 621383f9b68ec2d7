// Handles as numbers, and the lock that keeps their list; and what calls keep for each other. A
// fork while another thread holds a lock would leave the child without the thread that gives it
// back, so forks wait for it.
#include "CEmbedKernelSupport.h"
#include "locks.h"

#include <stdatomic.h>
#include <stdlib.h>

typedef struct place {
  void *object;
  uint32_t kind;
  /// Rises when the place is used again.
  uint32_t turn;
  /// The next free place, or 0.
  uint32_t next_free;
} place;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static place *places;
/// Place 0 is never used, so that no handle is NULL.
static uint32_t count = 1, capacity, first_free;

void ekc_handles_lock(void) { pthread_mutex_lock(&mutex); }
void ekc_handles_unlock(void) { pthread_mutex_unlock(&mutex); }

enum { turn_shift = 32, turn_mask = 0x7FFFFFFF };

static uint32_t take_place(void) {
  if (first_free != 0) {
    uint32_t index = first_free;
    first_free = places[index].next_free;
    return index;
  }
  if (count >= capacity) {
    if (capacity >= UINT32_MAX / 4) return 0;
    uint32_t more = capacity == 0 ? 64 : capacity * 2;
    place *moved = realloc(places, more * sizeof *places);
    if (moved == NULL) return 0;
    places = moved;
    capacity = more;
  }
  places[count].turn = 0;
  return count++;
}

void *ekc_handle_make(void *object, uint32_t kind) {
  void *handle = NULL;
  ekc_handles_lock();
  uint32_t index = take_place();
  if (index != 0) {
    place *p = &places[index];
    p->object = object;
    p->kind = kind;
    p->turn = (p->turn + 1) & turn_mask;
    handle = (void *)((uintptr_t)p->turn << turn_shift | (uintptr_t)index);
  }
  ekc_handles_unlock();
  return handle;
}

static place *find(const void *handle, uint32_t kind) {
  uintptr_t number = (uintptr_t)handle;
  uintptr_t index = number & UINT32_MAX;
  if (index == 0 || index >= count) return NULL;
  place *p = &places[index];
  return p->kind == kind && p->turn == number >> turn_shift ? p : NULL;
}

void *ekc_handle_find(const void *handle, uint32_t kind) {
  place *p = find(handle, kind);
  return p == NULL ? NULL : p->object;
}

void *ekc_handle_remove(const void *handle, uint32_t kind) {
  ekc_handles_lock();
  place *p = find(handle, kind);
  void *object = NULL;
  if (p != NULL) {
    object = p->object;
    p->object = NULL;
    p->kind = 0;
    p->next_free = first_free;
    first_free = (uint32_t)(p - places);
  }
  ekc_handles_unlock();
  return object;
}

// MARK: Kept objects

enum { spare_count = 16 };
static _Atomic(void *) spares[spare_count];

void *ekc_spare_take(void) {
  for (int i = 0; i < spare_count; i++) {
    if (atomic_load_explicit(&spares[i], memory_order_relaxed) == NULL) continue;
    void *object = atomic_exchange(&spares[i], NULL);
    if (object != NULL) return object;
  }
  return NULL;
}

bool ekc_spare_keep(void *object) {
  for (int i = 0; i < spare_count; i++) {
    void *empty = NULL;
    if (atomic_compare_exchange_strong(&spares[i], &empty, object)) return true;
  }
  return false;
}

// MARK: Threads

static _Atomic int32_t default_threads;

int32_t ekc_default_threads(void) {
  return atomic_load_explicit(&default_threads, memory_order_relaxed);
}

void ekc_set_default_threads(int32_t threads) { atomic_store(&default_threads, threads); }

// MARK: Forks

static void lock_all(void) {
  ekc_handles_lock();
  ekc_buffers_lock();
}

static void unlock_all(void) {
  ekc_buffers_unlock();
  ekc_handles_unlock();
}

__attribute__((constructor)) static void watch_forks(void) {
  pthread_atfork(lock_all, unlock_all, unlock_all);
}
