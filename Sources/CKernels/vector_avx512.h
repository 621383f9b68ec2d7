// The ends of rows by AVX-512's masks: an instruction instead of up to four moves.
#include <immintrin.h>

EK_INLINE vec load_end(const float *from, size_t count, float rest) {
  return _mm512_mask_loadu_ps((vec)rest, (__mmask16)((1u << count) - 1), from);
}

EK_INLINE void store_end(float *to, vec value, size_t count) {
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), value);
}
