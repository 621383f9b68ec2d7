// Adding a plain tensor to another of its size in place: what a bias costs that is stored whole.
// Two reads and a write an element; the bar of biases that are made on the way.

#include "CReferenceLoops.h"

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void add_avx512(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    for (size_t k = 0; k < 64; k += 16) {
      _mm512_storeu_ps(y + i + k,
                       _mm512_add_ps(_mm512_loadu_ps(y + i + k), _mm512_loadu_ps(x + i + k)));
    }
  }
  for (; i < count; i++) {
    y[i] += x[i];
  }
}

__attribute__((target("avx2"))) static void add_avx2(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    for (size_t k = 0; k < 32; k += 8) {
      _mm256_storeu_ps(y + i + k,
                       _mm256_add_ps(_mm256_loadu_ps(y + i + k), _mm256_loadu_ps(x + i + k)));
    }
  }
  for (; i < count; i++) {
    y[i] += x[i];
  }
}
#endif

void crl_add(float *y, const float *x, size_t count) {
#if defined(__x86_64__)
  // Half lines are faster within the caches, whole ones to memory.
  if (count * sizeof(float) >= (1 << 20) && __builtin_cpu_supports("avx512f")) {
    add_avx512(y, x, count);
    return;
  }
  if (__builtin_cpu_supports("avx2")) {
    add_avx2(y, x, count);
    return;
  }
#endif
  for (size_t i = 0; i < count; i++) {
    y[i] += x[i];
  }
}

typedef struct {
  float *y;
  const float *x;
  size_t count, threads;
} add_parts;

static void add_part(void *context, size_t part) {
  const add_parts *parts = context;
  // Whole cache lines, so that two threads never write to one.
  const size_t lines = (parts->count + 15) / 16;
  const size_t first = lines * part / parts->threads * 16;
  size_t last = lines * (part + 1) / parts->threads * 16;
  last = last < parts->count ? last : parts->count;
  if (first < last) {
    crl_add(parts->y + first, parts->x + first, last - first);
  }
}

void crl_add_team(crl_team *team, size_t threads, float *y, const float *x, size_t count) {
  if (threads < 2) {
    crl_add(y, x, count);
    return;
  }
  add_parts parts = {y, x, count, threads};
  crl_team_run(team, add_part, &parts);
}
