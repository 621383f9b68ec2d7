// Adding a plain tensor to another of its size in place: what a bias costs that is stored whole.
// Two reads and a write an element; the bar of biases that are made on the way.

#include "CReferenceLoops.h"

#include <string.h>

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

#define ADD_BF16                                                       \
  for (size_t i = 0; i < count; i++) {                                 \
    uint32_t a = (uint32_t)y[i] << 16, b = (uint32_t)x[i] << 16, bits; \
    float left, right, sum;                                            \
    memcpy(&left, &a, 4);                                              \
    memcpy(&right, &b, 4);                                             \
    sum = left + right;                                                \
    memcpy(&bits, &sum, 4);                                            \
    y[i] = (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);       \
  }

#if defined(__x86_64__)
__attribute__((target("avx512f,avx512bw"))) static void add_bf16_avx512(uint16_t *restrict y,
                                                                        const uint16_t *restrict x,
                                                                        size_t count) {
  ADD_BF16
}

__attribute__((target("avx2"))) static void add_bf16_avx2(uint16_t *restrict y,
                                                          const uint16_t *restrict x,
                                                          size_t count) {
  ADD_BF16
}
#endif

void crl_add_bf16(uint16_t *y, const uint16_t *x, size_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw")) {
    add_bf16_avx512(y, x, count);
    return;
  }
  if (__builtin_cpu_supports("avx2")) {
    add_bf16_avx2(y, x, count);
    return;
  }
#endif
  ADD_BF16
}

typedef struct {
  void *y;
  const void *x;
  size_t count, threads;
} add_parts;

/// Where part `part` begins: whole cache lines, so that two threads never write to one.
static size_t part_start(const add_parts *parts, size_t part, size_t line) {
  const size_t lines = (parts->count + line - 1) / line;
  const size_t start = lines * part / parts->threads * line;
  return start < parts->count ? start : parts->count;
}

static void add_part(void *context, size_t part) {
  const add_parts *parts = context;
  const size_t first = part_start(parts, part, 16), last = part_start(parts, part + 1, 16);
  crl_add((float *)parts->y + first, (const float *)parts->x + first, last - first);
}

static void add_bf16_part(void *context, size_t part) {
  const add_parts *parts = context;
  const size_t first = part_start(parts, part, 32), last = part_start(parts, part + 1, 32);
  crl_add_bf16((uint16_t *)parts->y + first, (const uint16_t *)parts->x + first, last - first);
}

void crl_add_team(crl_team *team, size_t threads, float *y, const float *x, size_t count) {
  if (threads < 2) {
    crl_add(y, x, count);
    return;
  }
  add_parts parts = {y, x, count, threads};
  crl_team_run(team, add_part, &parts);
}

void crl_add_bf16_team(crl_team *team, size_t threads, uint16_t *y, const uint16_t *x,
                       size_t count) {
  if (threads < 2) {
    crl_add_bf16(y, x, count);
    return;
  }
  add_parts parts = {y, x, count, threads};
  crl_team_run(team, add_bf16_part, &parts);
}
