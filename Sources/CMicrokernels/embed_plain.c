// Gather and add in plain C, for any machine: what the compiler makes of the two-line loop.
//
// Bytes a row: D*4 read from the token table, D*4 from a cached position row, D*4 written.
#include "tile.h"

EK_INLINE void row(const float *restrict token, const float *restrict position, const float *soon,
                   float *restrict out, size_t dim, float scale, bool scaled, bool positioned, ek_traffic traffic) {
#pragma STDC FP_CONTRACT OFF
  (void)traffic;
  if (traffic != EK_CACHED)
    for (size_t i = 0; i < dim; i += 16) __builtin_prefetch(soon + i, 0, 2);
  for (size_t i = 0; i < dim; i++) {
    float value = scaled ? token[i] * scale : token[i];
    out[i] = positioned ? value + position[i] : value;
  }
}

void ek_embed_f32_plain(const ek_embed_tile *tile) { EK_EMBED(tile, row); }
