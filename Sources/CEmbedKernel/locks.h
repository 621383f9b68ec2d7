// Locks that a fork waits for.
#ifndef CEMBEDKERNEL_LOCKS_H
#define CEMBEDKERNEL_LOCKS_H

#include <pthread.h>

void ekc_buffers_lock(void);
void ekc_buffers_unlock(void);

#endif
