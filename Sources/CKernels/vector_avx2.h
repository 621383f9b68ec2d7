// What AVX2 moves in its own way.
#include <immintrin.h>

/// The ends of rows by AVX's masked loads: one or two instead of up to four moves that wait for
/// each other. Its masked stores are slow on some machines, so stores are the common ones.
EK_INLINE vec load_end(const float *from, size_t count, float rest) {
  const ints in = first_lanes(count);
  vec value = 0;
  value.lo = _mm256_maskload_ps(from, (__m256i)in.lo);
  if (count > 8) value.hi = _mm256_maskload_ps(from + 8, (__m256i)in.hi);
  return __builtin_constant_p(rest) && rest == 0 ? value : in ? value : (vec)rest;
}

/// The first half first: compilers may turn them round, and rows whose vectors cross lines then
/// take half as long again.
EK_INLINE void store_whole(float *to, vec value) {
  _mm256_storeu_ps(to, value.lo);
  __asm__ volatile("" ::: "memory");
  _mm256_storeu_ps(to + 8, value.hi);
}
