// bfloat16 outputs, AVX512_BF16: its conversion rounds 32 elements at once, where AVX-512F alone takes
// ten instructions. It takes subnormal numbers for zeros: lanes with such take the long way.
#include "tile.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define EK_SET __attribute__((target("avx512f,avx512bw,avx512dq,avx512bf16")))
#define EK_NAME(x) x##_avx512bf16
#define EK_OTHER(x) x##_avx512
#define EK_STEP 32
#define EK_LINE 64
#define EK_FENCE() _mm_sfence()
#define EK_PAIRS(X)                       \
  X(uint16_t, EK_BF16, uint16_t, EK_BF16) \
  X(float, EK_F32, uint16_t, EK_BF16)

void ek_embed_typed_avx512(const ek_typed_tile *);
void ek_convert_avx512(const void *, ek_element, void *, ek_element, size_t);

#include "lanes_512.h"

EK_SET EK_INLINE lanes lanes_load(const char *from, ek_element type, bool split) {
  return split ? lanes_load_split(from) : lanes_load_floats(from);
}

/// What the instruction gives for normal numbers and zeros, for subnormal ones: none is a NaN.
EK_SET EK_INLINE __m512i shifted(__m512 value) {
  __m512i bits = _mm512_castps_si512(value);
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  bits = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
  return _mm512_srli_epi32(bits, 16);
}

/// a in the lower half, b in the upper.
EK_SET EK_INLINE __m512i rounded(lanes v) {
  enum { subnormal = 0x20 };
  __mmask16 a = _mm512_fpclass_ps_mask(v.a, subnormal), b = _mm512_fpclass_ps_mask(v.b, subnormal);
  __m512i bits = (__m512i)_mm512_cvtne2ps_pbh(v.b, v.a);
  if (__builtin_expect((a | b) != 0, 0)) {
    __m512i low = _mm512_castsi256_si512(_mm512_cvtepi32_epi16(shifted(v.a)));
    __m512i exact = _mm512_inserti64x4(low, _mm512_cvtepi32_epi16(shifted(v.b)), 1);
    bits = _mm512_mask_mov_epi16(bits, _mm512_kunpackw(b, a), exact);
  }
  return bits;
}

EK_SET EK_INLINE void lanes_store(char *to, lanes v, ek_element type, bool stream, bool split) {
  __m512i bits = rounded(v);
  if (split) {
    // Word i of each half in turn.
    const __m512i pairs = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
        20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    bits = _mm512_permutexvar_epi16(pairs, bits);
  }
  if (stream)
    _mm512_stream_si512((__m512i *)to, bits);
  else
    _mm512_storeu_si512(to, bits);
}

#include "typed.h"
#endif
