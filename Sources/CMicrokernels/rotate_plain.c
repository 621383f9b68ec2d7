// Rotation of pairs in plain C, for any machine: what the compiler makes of the loop.
//
// Bytes a row: D*4 read, D*4 written; the row of cosines and sines comes from cache.
#include "rotate.h"

EK_INLINE void halves(const float *x, float *y, const float *c, const float *s,
                      const ek_rotation *r, bool streaming) {
  (void)streaming;
  ek_rotate_halves(x, y, c, s, r, 0);
}

EK_INLINE void neighbours(const float *x, float *y, const float *c, const float *s,
                          const ek_rotation *r, bool streaming) {
  (void)streaming;
  ek_rotate_neighbours(x, y, c, s, r, 0);
}

void ek_rotate_f32_plain(const ek_rotary_tile *tile) { EK_ROTATE(tile, float, halves, neighbours); }
