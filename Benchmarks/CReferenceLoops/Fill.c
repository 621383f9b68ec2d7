// Writing the output and nothing else, past the cache: what no kernel that writes it can beat.

#include "CReferenceLoops.h"

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx512f"))) static void fill_avx512(float *output, size_t count) {
  const __m512 value = _mm512_set1_ps(1);
  for (size_t i = 0; i + 16 <= count; i += 16) _mm512_stream_ps(output + i, value);
  _mm_sfence();
}
#endif

void crl_fill_streaming(float *output, size_t count) {
  size_t ragged = 0;
  while (ragged < count && (uintptr_t)(output + ragged) % 64 != 0) output[ragged++] = 1;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) {
    const size_t whole = (count - ragged) / 16 * 16;
    fill_avx512(output + ragged, whole);
    ragged += whole;
  }
#endif
  for (size_t i = ragged; i < count; i++) output[i] = 1;
}
