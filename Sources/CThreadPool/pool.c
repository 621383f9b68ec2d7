// The helper threads. A helper is a state word and a job:
//
//   idle --claim--> claimed --post--> posted --take--> running --finish--> done --release--> idle
//
// The caller claims, posts and releases; the helper takes and finishes. While a job is posted but
// not taken the caller may take it back, so it never waits for a thread to wake up.
//
// What waits is named ek_pool_..., by which scripts/bench instructions tells it from work.
#define _GNU_SOURCE
#include "CThreadPool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

enum { IDLE, CLAIMED, POSTED, RUNNING, DONE };

enum { MAX_HELPERS = 255, SPINS = 2000 };

typedef struct helper {
  _Alignas(128) _Atomic uint32_t state;
  atomic_bool sleeping;
  void (*body)(void *);
  void *context;
} helper;

static helper helpers_[MAX_HELPERS];
static size_t helper_count;
static pthread_once_t started = PTHREAD_ONCE_INIT;

static inline void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// MARK: Sleeping until a job is posted

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>

static void ek_pool_sleep(helper *h, uint32_t state) {
  syscall(SYS_futex, &h->state, FUTEX_WAIT_PRIVATE, state, NULL, NULL, 0);
}

static void ek_pool_wake(helper *h) {
  syscall(SYS_futex, &h->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
#else
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void ek_pool_sleep(helper *h, uint32_t state) {
  pthread_mutex_lock(&mutex);
  while (atomic_load(&h->state) == state) pthread_cond_wait(&changed, &mutex);
  pthread_mutex_unlock(&mutex);
}

static void ek_pool_wake(helper *h) {
  (void)h;
  pthread_mutex_lock(&mutex);
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&mutex);
}
#endif

// MARK: The helper's side

static void ek_pool_await(helper *h) {
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&h->state, memory_order_acquire) == POSTED) return;
    pause_cpu();
  }
  // Said before the last look at the state: a caller that posts after it sees that it must wake.
  atomic_store(&h->sleeping, true);
  uint32_t state = atomic_load(&h->state);
  if (state == IDLE) ek_pool_sleep(h, state);
  atomic_store(&h->sleeping, false);
}

static void *ek_pool_help(void *argument) {
  helper *h = argument;
  while (true) {
    ek_pool_await(h);
    uint32_t posted = POSTED;
    if (atomic_compare_exchange_strong(&h->state, &posted, RUNNING)) {
      h->body(h->context);
      atomic_store_explicit(&h->state, DONE, memory_order_release);
    }
  }
  return NULL;
}

/// A fork takes none of the helpers along: the child begins anew, with helpers of its own.
static void begin_anew(void) {
  for (size_t i = 0; i < helper_count; i++) {
    atomic_store(&helpers_[i].state, IDLE);
    atomic_store(&helpers_[i].sleeping, false);
  }
  helper_count = 0;
  started = (pthread_once_t)PTHREAD_ONCE_INIT;
}

static void start(void) {
  size_t cpus = ek_available_cpus();
  size_t wanted = cpus - 1 < MAX_HELPERS ? cpus - 1 : MAX_HELPERS;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  for (; helper_count < wanted; helper_count++) {
    pthread_t thread;
    // Without another thread the callers do all the work themselves.
    if (pthread_create(&thread, &attributes, ek_pool_help, &helpers_[helper_count]) != 0) break;
  }
  pthread_attr_destroy(&attributes);
  // In a child's child this is there already.
  static bool is_watching;
  if (!is_watching) is_watching = pthread_atfork(NULL, NULL, begin_anew) == 0;
}

// MARK: The caller's side

static bool claim(helper *h) {
  uint32_t idle = IDLE;
  return atomic_load_explicit(&h->state, memory_order_relaxed) == IDLE &&
         atomic_compare_exchange_strong(&h->state, &idle, CLAIMED);
}

static void post(helper *h, void (*body)(void *), void *context) {
  h->body = body;
  h->context = context;
  atomic_store(&h->state, POSTED);
  if (atomic_load(&h->sleeping)) ek_pool_wake(h);
}

/// Takes the job back if the helper has not begun, else waits for its end.
static void ek_pool_release(helper *h) {
  for (size_t spins = 1;; spins++) {
    uint32_t posted = POSTED;
    if (atomic_compare_exchange_strong(&h->state, &posted, IDLE)) return;
    if (posted == DONE) break;
    pause_cpu();
    if (spins % SPINS == 0) sched_yield();
  }
  atomic_store_explicit(&h->state, IDLE, memory_order_release);
}

void ek_pool_run(size_t helpers, void (*body)(void *context), void *context) {
  pthread_once(&started, start);
  uint8_t mine[MAX_HELPERS];
  size_t count = 0;
  for (size_t i = 0; i < helper_count && count < helpers; i++) {
    if (!claim(&helpers_[i])) continue;
    post(&helpers_[i], body, context);
    mine[count++] = (uint8_t)i;
  }
  body(context);
  for (size_t i = 0; i < count; i++) ek_pool_release(&helpers_[mine[i]]);
}

size_t ek_available_cpus(void) {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
    return (size_t)CPU_COUNT(&set);
#endif
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (size_t)online : 1;
}
