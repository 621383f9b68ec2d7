// Rounding to bfloat16, AArch64's FEAT_BF16: an instruction rounds four elements, where NEON alone
// takes seven. It rounds subnormal numbers like others, and keeps what a NaN holds.

EK_INLINE bits16 rounded16(vec value) {
  const bfloat16x8_t low = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(value.lo.lo), value.lo.hi);
  const bfloat16x8_t high = vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(value.hi.lo), value.hi.hi);
  bits16 all;
  memcpy(&all, &low, sizeof low);
  memcpy((char *)&all + sizeof low, &high, sizeof high);
  return all;
}

EK_INLINE two_bits16 to_bf16(two v, bool split) {
  const bits16 a = rounded16(v.a), b = rounded16(v.b);
  if (!split) return join16(a, b);
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8,
                                 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
