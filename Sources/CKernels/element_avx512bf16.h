// Rounding to bfloat16, AVX512_BF16: its conversion rounds 32 elements at once, where AVX-512F
// alone takes ten instructions. It takes subnormal numbers for zeros: lanes with such take the long
// way.

/// What the instruction gives for normal numbers and zeros, for subnormal ones: none is a NaN.
EK_INLINE bits16 subnormal_to_bf16(vec value) {
  const bits all = (bits)value;
  return __builtin_convertvector((all + 0x7FFF + (all >> 16 & 1)) >> 16, bits16);
}

EK_INLINE two_bits16 to_bf16(two v, bool split) {
  enum { subnormal = 0x20 };
  const __mmask16 a = _mm512_fpclass_ps_mask(v.a, subnormal);
  const __mmask16 b = _mm512_fpclass_ps_mask(v.b, subnormal);
  two_bits16 all = (two_bits16)_mm512_cvtne2ps_pbh(v.b, v.a);
  if (__builtin_expect((a | b) != 0, 0)) {
    const two_bits16 exact = join16(subnormal_to_bf16(v.a), subnormal_to_bf16(v.b));
    all = (two_bits16)_mm512_mask_mov_epi16((__m512i)all, _mm512_kunpackw(b, a), (__m512i)exact);
  }
  if (!split) return all;
  return __builtin_shufflevector(all, all, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
