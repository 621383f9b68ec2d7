// Adding and summing a table along the diagonals of a tile of logits, NEON: 16 floats a step.
//
// Bytes a logit: 4 read and 4 written; the table's row stays in cache.
#include "distance.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <math.h>
#include <string.h>

EK_INLINE void add(float *y, const float *x, size_t count) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16)
    for (size_t k = 0; k < 16; k += 4)
      vst1q_f32(y + i + k, vaddq_f32(vld1q_f32(y + i + k), vld1q_f32(x + i + k)));
  for (; i < count; i++) y[i] += x[i];
}

EK_INLINE void copy(float *y, const float *x, size_t count) { memcpy(y, x, count * sizeof *y); }

EK_INLINE void hide(float *y, size_t count) {
  size_t i = 0;
  for (; i + 4 <= count; i += 4) vst1q_f32(y + i, vdupq_n_f32(-INFINITY));
  for (; i < count; i++) y[i] = -INFINITY;
}

void ek_add_by_distance_f32_neon(const ek_distance_tile *tile) {
  EK_ADD_BY_DISTANCE(tile, add, copy, hide);
}

void ek_sum_by_distance_f32_neon(const ek_distance_tile *tile) { EK_SUM_BY_DISTANCE(tile, add); }
#endif
