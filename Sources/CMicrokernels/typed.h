// Gather, add and convert for tables and outputs of other element types than fp32: the part that
// is the same for every instruction set. The includer defines
//
//   EK_SET        the function attribute, EK_NAME(x) the name of an exported function
//   EK_STEP       elements of a step; EK_LINE bytes that a streaming store must be aligned to
//   lanes         EK_STEP floats
//   lanes_load(from, type, split), lanes_store(to, lanes, type, stream, split)
//   lanes_scale(lanes, float), lanes_add(lanes, lanes)
//   EK_PAIRS(X) and EK_OTHER(x), if it computes some pairs only: these, and who computes the others
//
// With `split`, both types are EK_BF16 and lanes may hold the elements in any order that both
// functions agree on: even ones, then odd ones, takes no shuffles.
//
// Bytes a row: D*2 read from the token table, D*2 from a cached position row, D*2 written.
#include <string.h>

#include "tile.h"

EK_INLINE size_t ek_element_bytes(ek_element type) { return type == EK_F32 ? 4 : 2; }

EK_SET EK_INLINE lanes combine(const char *token, const char *position, ek_element input,
                               float scale, bool scaled, bool positioned, bool split) {
#pragma STDC FP_CONTRACT OFF
  lanes v = lanes_load(token, input, split);
  if (scaled) v = lanes_scale(v, scale);
  return positioned ? lanes_add(v, lanes_load(position, input, split)) : v;
}

/// The first `count` < EK_STEP elements, by way of whole lanes on the stack.
EK_SET EK_INLINE void partial(const char *token, const char *position, char *out, size_t count,
                              float scale, bool scaled, bool positioned, ek_element input,
                              ek_element output) {
  char t[EK_STEP * 4] = {0}, p[EK_STEP * 4] = {0}, o[EK_STEP * 4];
  memcpy(t, token, count * ek_element_bytes(input));
  if (positioned) memcpy(p, position, count * ek_element_bytes(input));
  const bool split = input == EK_BF16 && output == EK_BF16;
  lanes_store(o, combine(t, p, input, scale, scaled, positioned, split), output, false, split);
  memcpy(out, o, count * ek_element_bytes(output));
}

EK_SET EK_INLINE void typed_row(const char *token, const char *position, const char *soon,
                                char *out, size_t dim, float scale, bool scaled, bool positioned,
                                ek_traffic traffic, ek_element input, ek_element output) {
  const size_t in = ek_element_bytes(input), to = ek_element_bytes(output);
  const bool split = input == EK_BF16 && output == EK_BF16;
  size_t i = 0;
  if (traffic == EK_STREAMED) {
    // A streaming store must be aligned, so the row's ragged start goes through the cache.
    i = (-(uintptr_t)out % EK_LINE) / to;
    if (i > dim) i = dim;
    if (i) partial(token, position, out, i, scale, scaled, positioned, input, output);
  }
  for (size_t end = i + (dim - i) / EK_STEP * EK_STEP; i < end; i += EK_STEP) {
    // Into L2, not L1: a row to come would push the rows in use out of L1. A line a step, or every
    // other step where two steps make a line.
    if (traffic != EK_CACHED)
      for (size_t k = 0; k < EK_STEP * in; k += 64)
        if (EK_STEP * in >= 64 || i / EK_STEP % (64 / (EK_STEP * in)) == 0)
          __builtin_prefetch(soon + i * in + k, 0, 2);
    lanes v = combine(token + i * in, positioned ? position + i * in : NULL, input, scale, scaled,
                      positioned, split);
    lanes_store(out + i * to, v, output, traffic == EK_STREAMED, split);
  }
  if (traffic != EK_CACHED) __builtin_prefetch(soon + dim * in - 1, 0, 2);
  if (i < dim)
    partial(token + i * in, positioned ? position + i * in : NULL, out + i * to, dim - i, scale,
            scaled, positioned, input, output);
}

/// Pairs of types, unless the includer has named those it computes, and for each a row function of
/// the form that the walk calls.
#ifndef EK_PAIRS
#define EK_PAIRS(X)                   \
  X(uint16_t, EK_BF16, uint16_t, EK_BF16) \
  X(uint16_t, EK_BF16, float, EK_F32)     \
  X(uint16_t, EK_BF16, uint16_t, EK_F16)  \
  X(uint16_t, EK_F16, uint16_t, EK_F16)   \
  X(uint16_t, EK_F16, uint16_t, EK_BF16)  \
  X(uint16_t, EK_F16, float, EK_F32)      \
  X(float, EK_F32, uint16_t, EK_BF16)     \
  X(float, EK_F32, uint16_t, EK_F16)
#endif

#define EK_ROW(input_t, input, output_t, output)                                               \
  EK_SET EK_INLINE void row_##input##_##output(                                                \
      const input_t *token, const input_t *position, const input_t *soon, output_t *out,       \
      size_t dim, float scale, bool scaled, bool positioned, ek_traffic traffic) {             \
    typed_row((const char *)token, (const char *)position, (const char *)soon, (char *)out, dim, \
              scale, scaled, positioned, traffic, input, output);                              \
  }
EK_PAIRS(EK_ROW)

#define EK_EMBED_PAIR(input_t, in, output_t, out)                        \
  if (tile->input == in && tile->output == out) {                      \
    EK_EMBED_TYPED(&tile->rows, input_t, output_t, row_##in##_##out);  \
    if (tile->rows.streaming) EK_FENCE();                              \
    return;                                                            \
  }

EK_SET void EK_NAME(ek_embed_typed)(const ek_typed_tile *tile) {
  EK_PAIRS(EK_EMBED_PAIR)
#ifdef EK_OTHER
  EK_OTHER(ek_embed_typed)(tile);
#endif
}

#define EK_CONVERT_PAIR(input_t, in, output_t, out)                                       \
  if (input == in && output == out) {                                                     \
    typed_row(from, NULL, from, to, count, 1, false, false, EK_CACHED, in, out);          \
    return;                                                                               \
  }

EK_SET void EK_NAME(ek_convert)(const void *from, ek_element input, void *to, ek_element output,
                                size_t count) {
  EK_PAIRS(EK_CONVERT_PAIR)
#ifdef EK_OTHER
  EK_OTHER(ek_convert)(from, input, to, output, count);
#endif
}
