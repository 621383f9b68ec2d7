// A team of threads for the reference loops, as a hand-written program would have it: workers
// start once, spin for a short while after their part so that the next call finds them awake,
// then sleep. A call numbers itself by a generation; a worker runs once a generation.

#include "CReferenceLoops.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

// Some 30 microseconds of pauses, longer than any gap between two calls of a benchmark loop.
enum { spins = 2000 };

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

typedef struct {
  crl_team *team;
  size_t part;
  pthread_t thread;
} worker;

struct crl_team {
  // Written by the caller for each call, so on its own cache line.
  _Alignas(64) atomic_size_t generation;
  void (*body)(void *, size_t);
  void *context;
  bool stopping;
  // Counted down by the workers.
  _Alignas(64) atomic_size_t unfinished;
  _Alignas(64) pthread_mutex_t mutex;
  pthread_cond_t wake;
  atomic_size_t sleepers;
  size_t threads;
  worker *workers;
};

static void await_generation_after(crl_team *team, size_t seen) {
  for (int i = 0; i < spins; i++) {
    if (atomic_load_explicit(&team->generation, memory_order_acquire) != seen) {
      return;
    }
    pause_briefly();
  }
  pthread_mutex_lock(&team->mutex);
  // Announced before the last look, and the caller looks at it after raising the generation:
  // both in one total order, so that one of the two sees the other.
  atomic_fetch_add(&team->sleepers, 1);
  while (atomic_load(&team->generation) == seen) {
    pthread_cond_wait(&team->wake, &team->mutex);
  }
  atomic_fetch_sub(&team->sleepers, 1);
  pthread_mutex_unlock(&team->mutex);
}

static void *work(void *argument) {
  const worker *self = argument;
  crl_team *team = self->team;
  for (size_t seen = 0;; seen++) {
    await_generation_after(team, seen);
    if (team->stopping) {
      return NULL;
    }
    team->body(team->context, self->part);
    atomic_fetch_sub_explicit(&team->unfinished, 1, memory_order_release);
  }
}

static void announce(crl_team *team) {
  atomic_fetch_add(&team->generation, 1);
  if (atomic_load(&team->sleepers) != 0) {
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->wake);
    pthread_mutex_unlock(&team->mutex);
  }
}

crl_team *crl_team_create(size_t threads) {
  if (threads == 0 || threads > 4096) {
    return NULL;
  }
  crl_team *team = aligned_alloc(64, sizeof(crl_team));
  if (team == NULL) {
    return NULL;
  }
  *team = (crl_team){.threads = 1};
  pthread_mutex_init(&team->mutex, NULL);
  pthread_cond_init(&team->wake, NULL);
  team->workers = calloc(threads, sizeof(worker));
  if (team->workers == NULL) {
    crl_team_destroy(team);
    return NULL;
  }
  for (size_t part = 1; part < threads; part++) {
    worker *next = &team->workers[part];
    *next = (worker){.team = team, .part = part};
    if (pthread_create(&next->thread, NULL, work, next) != 0) {
      crl_team_destroy(team);
      return NULL;
    }
    team->threads++;
  }
  return team;
}

void crl_team_run(crl_team *team, void (*body)(void *context, size_t part), void *context) {
  team->body = body;
  team->context = context;
  atomic_store_explicit(&team->unfinished, team->threads - 1, memory_order_relaxed);
  announce(team);
  body(context, 0);
  while (atomic_load_explicit(&team->unfinished, memory_order_acquire) != 0) {
    pause_briefly();
  }
}

void crl_team_destroy(crl_team *team) {
  if (team == NULL) {
    return;
  }
  team->stopping = true;
  announce(team);
  for (size_t part = 1; part < team->threads; part++) {
    pthread_join(team->workers[part].thread, NULL);
  }
  free(team->workers);
  pthread_cond_destroy(&team->wake);
  pthread_mutex_destroy(&team->mutex);
  free(team);
}

// MARK: The loops over a team

typedef struct {
  const crl_embedding *work;
  size_t threads;
} embedding_parts;

static void embed_part(void *context, size_t part) {
  const embedding_parts *parts = context;
  const size_t positions = parts->work->context;
  crl_embed_streaming(parts->work, positions * part / parts->threads,
                      positions * (part + 1) / parts->threads);
}

void crl_embed_streaming_team(crl_team *team, const crl_embedding *work) {
  embedding_parts parts = {work, team->threads};
  crl_team_run(team, embed_part, &parts);
}

typedef struct {
  void (*copy)(float *, const float *, size_t);
  float *destination;
  const float *source;
  size_t count, threads;
} copy_parts;

static void copy_part(void *context, size_t part) {
  const copy_parts *parts = context;
  // Whole cache lines, so that two threads never write to one.
  const size_t lines = (parts->count + 15) / 16;
  const size_t first = lines * part / parts->threads * 16;
  size_t last = lines * (part + 1) / parts->threads * 16;
  last = last < parts->count ? last : parts->count;
  if (first < last) {
    parts->copy(parts->destination + first, parts->source + first, last - first);
  }
}

void crl_copy_streaming_team(crl_team *team, float *destination, const float *source,
                             size_t count) {
  copy_parts parts = {crl_copy_streaming, destination, source, count, team->threads};
  crl_team_run(team, copy_part, &parts);
}

static void fill(float *output, const float *source, size_t count) {
  (void)source;
  crl_fill_streaming(output, count);
}

void crl_fill_streaming_team(crl_team *team, float *output, size_t count) {
  copy_parts parts = {fill, output, output, count, team->threads};
  crl_team_run(team, copy_part, &parts);
}

void crl_copy_memcpy_team(crl_team *team, float *destination, const float *source, size_t count) {
  copy_parts parts = {crl_copy_memcpy, destination, source, count, team->threads};
  crl_team_run(team, copy_part, &parts);
}

typedef struct {
  const crl_backward *work;
  size_t threads;
} backward_parts;

static void gather_part(void *context, size_t part) {
  const backward_parts *parts = context;
  const size_t tokens = parts->work->tokens;
  crl_gather_sorted(parts->work, tokens * part / parts->threads,
                    tokens * (part + 1) / parts->threads);
}

void crl_gather_sorted_team(crl_team *team, const crl_backward *work) {
  backward_parts parts = {work, team->threads};
  crl_team_run(team, gather_part, &parts);
}

// The first token of a part in sorted order whose id is not that of the token before it.
static size_t first_of_id(const crl_backward *work, size_t part, size_t threads) {
  size_t i = work->tokens * part / threads;
  while (i > 0 && i < work->tokens && work->ids[work->order[i]] == work->ids[work->order[i - 1]])
    i++;
  return i;
}

static void sorted_add_part(void *context, size_t part) {
  const backward_parts *parts = context;
  crl_sorted_add(parts->work, first_of_id(parts->work, part, parts->threads),
                 first_of_id(parts->work, part + 1, parts->threads));
}

void crl_sorted_add_team(crl_team *team, const crl_backward *work) {
  backward_parts parts = {work, team->threads};
  crl_team_run(team, sorted_add_part, &parts);
}

static void add_part(void *context, size_t part) {
  const backward_parts *parts = context;
  const size_t rows = parts->work->rows;
  crl_index_add(parts->work, rows * part / parts->threads, rows * (part + 1) / parts->threads);
}

void crl_index_add_team(crl_team *team, const crl_backward *work) {
  backward_parts parts = {work, team->threads};
  crl_team_run(team, add_part, &parts);
}

typedef struct {
  const crl_step *work;
  size_t threads;
} step_parts;

// The first group that starts at the part's share of the tokens or later.
static size_t first_group(const crl_step *work, size_t part, size_t threads) {
  const size_t target = (size_t)work->offsets[work->count] * part / threads;
  size_t low = 0, high = work->count;
  while (low < high) {
    const size_t middle = (low + high) / 2;
    if ((size_t)work->offsets[middle] < target)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static void step_part(void *context, size_t part) {
  const step_parts *parts = context;
  crl_step_rows(parts->work, first_group(parts->work, part, parts->threads),
                first_group(parts->work, part + 1, parts->threads));
}

void crl_step_rows_team(crl_team *team, const crl_step *work) {
  step_parts parts = {work, team->threads};
  crl_team_run(team, step_part, &parts);
}
