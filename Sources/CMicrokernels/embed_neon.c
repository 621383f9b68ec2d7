// Gather and add, NEON: 4 floats an operation, four operations a step, scalar tails.
//
// Bytes a row: D*4 read from the token table, D*4 from a cached position row, D*4 written.
// AArch64's non-temporal stores (STNP) are a hint that cores ignore, so stores are ordinary.
#include "tile.h"

#if defined(__aarch64__)
#include <arm_neon.h>

EK_INLINE void row(const float *token, const float *position, const float *soon, float *out,
                   size_t dim, float scale, bool scaled, bool positioned, ek_traffic traffic) {
#pragma STDC FP_CONTRACT OFF
  (void)traffic;
  size_t i = 0;
  for (; i + 16 <= dim; i += 16) {
    if (traffic != EK_CACHED) __builtin_prefetch(soon + i, 0, 2);
    for (size_t k = 0; k < 16; k += 4) {
      float32x4_t v = vld1q_f32(token + i + k);
      if (scaled) v = vmulq_n_f32(v, scale);
      if (positioned) v = vaddq_f32(v, vld1q_f32(position + i + k));
      vst1q_f32(out + i + k, v);
    }
  }
  if (traffic != EK_CACHED && i < dim) __builtin_prefetch(soon + i, 0, 2);
  for (; i < dim; i++) {
    float value = scaled ? token[i] * scale : token[i];
    out[i] = positioned ? value + position[i] : value;
  }
}

void ek_embed_f32_neon(const ek_embed_tile *tile) { EK_EMBED(tile, row); }
#endif
