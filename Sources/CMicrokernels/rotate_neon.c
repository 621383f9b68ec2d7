// Rotation of pairs, NEON: 4 pairs a step, tails in plain C.
//
// Bytes a row: D*4 read, D*4 written; the row of cosines and sines comes from cache.
// AArch64's non-temporal stores (STNP) are a hint that cores ignore, so stores are ordinary.
#include "rotate.h"

#if defined(__aarch64__)
#include <arm_neon.h>

EK_INLINE float32x4_t flip(float32x4_t value, uint32_t sign) {
  return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(value), vdupq_n_u32(sign)));
}

/// The two of four pairs, each product and sum rounded on its own.
EK_INLINE float32x4x2_t turn(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t s) {
#pragma STDC FP_CONTRACT OFF
  float32x4_t ac = vmulq_f32(a, c), bs = vmulq_f32(b, s);
  float32x4_t bc = vmulq_f32(b, c), as = vmulq_f32(a, s);
  return (float32x4x2_t){{vsubq_f32(ac, bs), vaddq_f32(bc, as)}};
}

EK_INLINE void halves(const float *x, float *y, const float *c, const float *s,
                      const ek_rotation *r, bool streaming) {
  (void)streaming;
  size_t i = 0;
  for (; i + 4 <= r->pairs; i += 4) {
    float32x4x2_t turned = turn(vld1q_f32(x + i), vld1q_f32(x + r->partner + i),
                                vld1q_f32(c + i), flip(vld1q_f32(s + i), r->sign));
    vst1q_f32(y + i, turned.val[0]);
    vst1q_f32(y + r->partner + i, turned.val[1]);
  }
  ek_rotate_halves(x, y, c, s, r, i);
}

EK_INLINE void neighbours(const float *x, float *y, const float *c, const float *s,
                          const ek_rotation *r, bool streaming) {
  (void)streaming;
  size_t i = 0;
  for (; i + 4 <= r->pairs; i += 4) {
    float32x4x2_t pairs = vld2q_f32(x + 2 * i);
    vst2q_f32(y + 2 * i, turn(pairs.val[0], pairs.val[1], vld1q_f32(c + i),
                              flip(vld1q_f32(s + i), r->sign)));
  }
  ek_rotate_neighbours(x, y, c, s, r, i);
}

void ek_rotate_f32_neon(const ek_rotary_tile *tile) { EK_ROTATE(tile, float, halves, neighbours); }
#endif
