// Rotary positions as one would write them by hand: a loop over heads, tokens and pairs with a
// table of cosines and sines, vectorised by the compiler for AVX-512 where the CPU has it.
// Out of place or in place; heads are split over a team.

#include "CReferenceLoops.h"

#define ROTATE(name, attributes)                                                              \
  attributes static void name(const crl_rotation *w, size_t first, size_t last) {             \
    const size_t pairs = w->head_dim / 2;                                                     \
    for (size_t head = first; head < last; head++) {                                          \
      for (size_t t = 0; t < w->context; t++) {                                               \
        const float *x = w->input + (head * w->context + t) * w->head_dim;                    \
        float *y = w->output + (head * w->context + t) * w->head_dim;                         \
        const float *c = w->rows + t * w->head_dim, *s = c + pairs;                           \
        if (w->interleaved) {                                                                 \
          _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < pairs; i++) { \
            const float a = x[2 * i], b = x[2 * i + 1];                                       \
            y[2 * i] = a * c[i] - b * s[i];                                                   \
            y[2 * i + 1] = b * c[i] + a * s[i];                                               \
          }                                                                                   \
        } else {                                                                              \
          _Pragma("clang loop vectorize(assume_safety)") for (size_t i = 0; i < pairs; i++) { \
            const float a = x[i], b = x[pairs + i];                                           \
            y[i] = a * c[i] - b * s[i];                                                       \
            y[pairs + i] = b * c[i] + a * s[i];                                               \
          }                                                                                   \
        }                                                                                     \
      }                                                                                       \
    }                                                                                         \
  }

ROTATE(rotate_plain, )
#if defined(__x86_64__)
ROTATE(rotate_avx512, __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,prefer-256-bit"))))
#endif

typedef struct {
  const crl_rotation *work;
  size_t threads;
} rotation_parts;

static void rotate_part(void *context, size_t part) {
  const rotation_parts *parts = context;
  const size_t heads = parts->work->heads;
  const size_t first = heads * part / parts->threads, last = heads * (part + 1) / parts->threads;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) {
    rotate_avx512(parts->work, first, last);
    return;
  }
#endif
  rotate_plain(parts->work, first, last);
}

void crl_rotate_team(crl_team *team, size_t threads, const crl_rotation *work) {
  rotation_parts parts = {work, threads};
  crl_team_run(team, rotate_part, &parts);
}
