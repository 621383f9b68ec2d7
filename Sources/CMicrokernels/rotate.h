// Walking a rotary tile's rows, the same for every instruction set.
#ifndef EMBEDKERNEL_ROTATE_H
#define EMBEDKERNEL_ROTATE_H

#include "CMicrokernels.h"

#include <string.h>

/// Says that no step of the next loop reads what another wrote: rows are apart or the same.
#if defined(__clang__)
#define EK_STEPS_APART _Pragma("clang loop vectorize(assume_safety)")
#else
#define EK_STEPS_APART _Pragma("GCC ivdep")
#endif

#define EK_INLINE static inline __attribute__((always_inline))

/// What stays the same from row to row.
typedef struct ek_rotation {
  size_t pairs, partner, rest_at, rest;
  uint32_t sign;  ///< Flips the sign bit of sines: set for the inverse.
} ek_rotation;

EK_INLINE float ek_flip(float value, uint32_t sign) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  bits ^= sign;
  memcpy(&value, &bits, sizeof bits);
  return value;
}

/// Pairs `i...` of a row one by one: the ends that do not fill a vector, and plain C.
EK_INLINE void ek_rotate_halves(const float *x, float *y, const float *c, const float *s,
                                const ek_rotation *r, size_t i) {
#pragma STDC FP_CONTRACT OFF
  EK_STEPS_APART
  for (; i < r->pairs; i++) {
    float a = x[i], b = x[r->partner + i], sine = ek_flip(s[i], r->sign);
    y[i] = a * c[i] - b * sine;
    y[r->partner + i] = b * c[i] + a * sine;
  }
}

EK_INLINE void ek_rotate_neighbours(const float *x, float *y, const float *c, const float *s,
                                    const ek_rotation *r, size_t i) {
#pragma STDC FP_CONTRACT OFF
  EK_STEPS_APART
  for (; i < r->pairs; i++) {
    float a = x[2 * i], b = x[2 * i + 1], sine = ek_flip(s[i], r->sign);
    y[2 * i] = a * c[i] - b * sine;
    y[2 * i + 1] = b * c[i] + a * sine;
  }
}

#define EK_WALK_ROTATION(tile, element, row, streaming)                             \
  do {                                                                             \
    const ek_rotary_tile nest = *tile;                                             \
    const ek_rotation r = {nest.pairs, nest.partner, nest.rest_at, nest.rest,      \
                           nest.inverse ? 0x80000000u : 0u};                       \
    for (size_t o = 0; o < nest.outer.count; o++) {                                \
      for (size_t i = 0; i < nest.inner.count; i++) {                              \
        size_t at = o * nest.outer.elements + i * nest.inner.elements;             \
        const float *c = nest.rows + o * nest.outer.rows + i * nest.inner.rows;    \
        const element *x = (const element *)nest.input + at;                       \
        element *y = (element *)nest.output + at;                                  \
        row(x, y, c, c + nest.sines, &r, streaming);                               \
        if (r.rest && x != y)                                                      \
          memcpy(y + r.rest_at, x + r.rest_at, r.rest * sizeof(element));          \
      }                                                                            \
    }                                                                              \
  } while (0)

#define EK_ROTATE(tile, element, of_halves, of_neighbours)            \
  do {                                                                \
    if (tile->neighbours) {                                           \
      if (tile->streaming)                                            \
        EK_WALK_ROTATION(tile, element, of_neighbours, true);         \
      else                                                            \
        EK_WALK_ROTATION(tile, element, of_neighbours, false);        \
    } else if (tile->streaming) {                                     \
      EK_WALK_ROTATION(tile, element, of_halves, true);               \
    } else {                                                          \
      EK_WALK_ROTATION(tile, element, of_halves, false);              \
    }                                                                 \
  } while (0)

#endif
