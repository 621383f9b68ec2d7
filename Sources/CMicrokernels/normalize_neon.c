// Sum, normalise and drop, forward and backward: NEON, 4 floats a step.
//
// Bytes a row: D*4 read from the token table, D*4 written; backward, D*4 of the gradient more.
#if defined(__aarch64__)
#define EK_WIDTH 4
#define EK_TARGET
#include "normalize.h"

EK_TARGET void ek_normalize_f32_neon(const ek_normalize_tile *tile) {
  normalize(tile);
}

EK_TARGET void ek_normalize_gradient_f32_neon(const ek_normalize_gradient_tile *tile) {
  normalize_gradient(tile);
}
#endif
