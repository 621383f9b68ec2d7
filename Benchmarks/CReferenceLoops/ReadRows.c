// Random rows read and added up, which is what a bag can't be faster than: nothing is checked, and
// nothing written but one number. Rows to come are prefetched into the second-level cache; with an
// output each row is copied there past the caches instead, as bags of one id have to.

#include "CReferenceLoops.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// The row to prefetch beside row `i`; near the end the row itself, which costs nothing.
static inline const char *row_soon(const crl_row_reading *work, size_t i) {
  const size_t soon = i + work->ahead;
  return work->rows + (size_t)work->ids[soon < work->count ? soon : i] * work->row_bytes;
}

static float read_plain(const crl_row_reading *work, size_t first, size_t last) {
  float sums[16] = {0};
  for (size_t i = first; i < last; i++) {
    const char *soon = row_soon(work, i);
    const float *row =
        (const float *)(const void *)(work->rows + (size_t)work->ids[i] * work->row_bytes);
    float *to = work->output ? (float *)(void *)(work->output + i * work->row_bytes) : NULL;
    for (size_t k = 0; k < work->row_bytes; k += 64) __builtin_prefetch(soon + k, 0, 2);
    for (size_t k = 0; k + 16 <= work->row_bytes / 4; k += 16)
      for (size_t lane = 0; lane < 16; lane++) {
        sums[lane] += row[k + lane];
        if (to) to[k + lane] = row[k + lane];
      }
  }
  float sum = 0;
  for (size_t lane = 0; lane < 16; lane++) sum += sums[lane];
  return sum;
}

#if defined(__x86_64__)
// Inlined with a number of lines that is known, so that a row takes no loop: the fewer instructions
// it takes, the more rows are on their way at once.
__attribute__((target("avx512f"), always_inline)) static inline float read_lines(
    const crl_row_reading *work, size_t first, size_t last, size_t lines) {
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(),
                    _mm512_setzero_ps()};
  for (size_t i = first; i < last; i++) {
    const char *soon = row_soon(work, i);
    const char *row = work->rows + (size_t)work->ids[i] * work->row_bytes;
    char *to = work->output ? work->output + i * work->row_bytes : NULL;
    if (to) {
#pragma clang loop unroll(full)
      for (size_t k = 0; k < lines; k++) {
        __builtin_prefetch(soon + 64 * k, 0, 2);
        _mm512_stream_ps((float *)(void *)(to + 64 * k), _mm512_loadu_ps(row + 64 * k));
      }
    } else {
#pragma clang loop unroll(full)
      for (size_t k = 0; k < lines; k++) __builtin_prefetch(soon + 64 * k, 0, 2);
#pragma clang loop unroll(full)
      for (size_t k = 0; k < lines; k++)
        sums[k % 4] = _mm512_add_ps(sums[k % 4], _mm512_loadu_ps(row + 64 * k));
    }
  }
  _mm_sfence();
  return _mm512_reduce_add_ps(
      _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3])));
}

__attribute__((target("avx512f"))) static float read_avx512(const crl_row_reading *work,
                                                            size_t first, size_t last) {
  switch (work->row_bytes) {
    case 256: return read_lines(work, first, last, 4);
    case 512: return read_lines(work, first, last, 8);
    case 1024: return read_lines(work, first, last, 16);
    default: return read_lines(work, first, last, work->row_bytes / 64);
  }
}
#endif

float crl_read_rows(const crl_row_reading *work, size_t first, size_t last) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return read_avx512(work, first, last);
#endif
  return read_plain(work, first, last);
}

typedef struct {
  const crl_row_reading *work;
  size_t threads;
} reading_team;

static void read_part(void *context, size_t part) {
  const reading_team *team = context;
  const size_t count = team->work->count;
  volatile float sum =
      crl_read_rows(team->work, part * count / team->threads, (part + 1) * count / team->threads);
  (void)sum;
}

void crl_read_rows_team(crl_team *team, size_t threads, const crl_row_reading *work) {
  reading_team context = {work, threads};
  crl_team_run(team, read_part, &context);
}
