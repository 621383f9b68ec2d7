// POSIX's mutex behind an address, so that Swift needn't know its size.
#include <pthread.h>
#include <stdlib.h>

#include "CThreadPool.h"

struct ek_lock {
  pthread_mutex_t mutex;
};

ek_lock *ek_lock_make(void) {
  ek_lock *lock = malloc(sizeof *lock);
  if (lock == NULL || pthread_mutex_init(&lock->mutex, NULL) == 0) return lock;
  free(lock);
  return NULL;
}

void ek_lock_take(ek_lock *lock) { pthread_mutex_lock(&lock->mutex); }

void ek_lock_give(ek_lock *lock) { pthread_mutex_unlock(&lock->mutex); }

void ek_lock_free(ek_lock *lock) {
  pthread_mutex_destroy(&lock->mutex);
  free(lock);
}
