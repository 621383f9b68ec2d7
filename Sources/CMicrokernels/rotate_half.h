// Rotation of pairs of two-byte elements: the part that is the same for every instruction set. The
// includer defines
//
//   EK_SET        the function attribute, EK_NAME(x) the name of the exported function
//   EK_STEP       pairs of a step
//   lane          EK_STEP floats; lane_of(from) loads them, lane_flip(lane, sign) flips signs
//   pairs         lanes a and b: the first and the second elements of EK_STEP pairs
//   lane_mul, lane_add, lane_sub, each rounded on its own
//   widen(from, type), narrow_to(to, lane, type, stream)         EK_STEP elements one after another
//   pairs_load(from, type), pairs_store(to, pairs, type, stream) EK_STEP pairs of neighbours
//
// Bytes a row: D*2 read, D*2 written; the row of cosines and sines comes from cache.

/// (a*c - b*s, b*c + a*s)
EK_SET EK_INLINE pairs turn(pairs p, const float *cosines, const float *sines, uint32_t sign) {
  const lane c = lane_of(cosines), s = lane_flip(lane_of(sines), sign);
  return (pairs){lane_sub(lane_mul(p.a, c), lane_mul(p.b, s)),
                 lane_add(lane_mul(p.b, c), lane_mul(p.a, s))};
}

EK_SET EK_INLINE void step_halves(const uint16_t *a, const uint16_t *b, uint16_t *to_a,
                                  uint16_t *to_b, const float *c, const float *s, uint32_t sign,
                                  ek_element type, bool stream) {
  pairs p = {widen((const char *)a, type), widen((const char *)b, type)};
  p = turn(p, c, s, sign);
  narrow_to((char *)to_a, p.a, type, stream);
  narrow_to((char *)to_b, p.b, type, stream);
}

EK_SET EK_INLINE void halves(const uint16_t *x, uint16_t *y, const float *c, const float *s,
                             const ek_rotation *r, ek_element type, bool stream) {
  const uint16_t *x2 = x + r->partner;
  uint16_t *y2 = y + r->partner;
  size_t i = 0;
  for (; i + EK_STEP <= r->pairs; i += EK_STEP)
    step_halves(x + i, x2 + i, y + i, y2 + i, c + i, s + i, r->sign, type, stream);
  if (i == r->pairs) return;
  // What does not fill a step goes by way of the stack.
  uint16_t a[EK_STEP] = {0}, b[EK_STEP] = {0};
  float cosines[EK_STEP] = {0}, sines[EK_STEP] = {0};
  const size_t rest = r->pairs - i;
  memcpy(a, x + i, rest * 2), memcpy(b, x2 + i, rest * 2);
  memcpy(cosines, c + i, rest * 4), memcpy(sines, s + i, rest * 4);
  step_halves(a, b, a, b, cosines, sines, r->sign, type, false);
  memcpy(y + i, a, rest * 2), memcpy(y2 + i, b, rest * 2);
}

EK_SET EK_INLINE void neighbours(const uint16_t *x, uint16_t *y, const float *c, const float *s,
                                 const ek_rotation *r, ek_element type, bool stream) {
  size_t i = 0;
  for (; i + EK_STEP <= r->pairs; i += EK_STEP) {
    pairs p = pairs_load((const char *)(x + 2 * i), type);
    pairs_store((char *)(y + 2 * i), turn(p, c + i, s + i, r->sign), type, stream);
  }
  if (i == r->pairs) return;
  uint16_t both[2 * EK_STEP] = {0};
  float cosines[EK_STEP] = {0}, sines[EK_STEP] = {0};
  const size_t rest = r->pairs - i;
  memcpy(both, x + 2 * i, rest * 4);
  memcpy(cosines, c + i, rest * 4), memcpy(sines, s + i, rest * 4);
  pairs p = pairs_load((const char *)both, type);
  pairs_store((char *)both, turn(p, cosines, sines, r->sign), type, false);
  memcpy(y + 2 * i, both, rest * 4);
}

#define EK_ROW(form, type)                                                                 \
  EK_SET EK_INLINE void form##_##type(const uint16_t *x, uint16_t *y, const float *c,      \
                                      const float *s, const ek_rotation *r, bool stream) { \
    form(x, y, c, s, r, type, stream);                                                     \
  }
EK_ROW(halves, EK_F16)
EK_ROW(halves, EK_BF16)
EK_ROW(neighbours, EK_F16)
EK_ROW(neighbours, EK_BF16)

EK_SET void EK_NAME(ek_rotate_half)(const ek_rotary_tile *tile) {
  if (tile->type == EK_F16)
    EK_ROTATE(tile, uint16_t, halves_EK_F16, neighbours_EK_F16);
  else
    EK_ROTATE(tile, uint16_t, halves_EK_BF16, neighbours_EK_BF16);
  if (tile->streaming) EK_FENCE();
}
