// Gather, add and convert, for tables and outputs of any element type. Arithmetic is in floats,
// each operation rounded on its own, and rounded to the output's type once.
//
// Bytes a row of floats: D*4 read from the token table, D*4 from a cached position row, D*4
// written; of 16-bit elements half as many.
#ifndef EMBEDKERNEL_EMBED_H
#define EMBEDKERNEL_EMBED_H

#include "element.h"
#include "walk.h"

#pragma STDC FP_CONTRACT OFF

/// What is known of a row when compiling: each combination is a loop of its own.
typedef struct embedding {
  ek_element input, output;
  bool scaled, positioned;
  traffic traffic;
  bool near;  ///< Prefetched into L1.
} embedding;

/// The first `count` elements, 32 at most.
EK_INLINE void embed_step(const char *token, const char *position, char *out, size_t count,
                          float scale, embedding e, bool streaming) {
  const bool split = e.input == EK_BF16 && e.output == EK_BF16;
  two v = load_two(token, e.input, split, count);
  if (e.scaled) v = (two){v.a * scale, v.b * scale};
  if (e.positioned) {
    const two p = load_two(position, e.input, split, count);
    v = (two){v.a + p.a, v.b + p.b};
  }
  store_two(out, v, e.output, split, count, streaming);
}

/// A row, while the row `soon` is prefetched.
EK_INLINE void embed_row(const char *token, const char *position, const char *soon, char *out,
                         size_t dim, float scale, embedding e) {
  const size_t in = bytes_of(e.input), to = bytes_of(e.output);
  const bool streaming = e.traffic == STREAMED;
  if (e.traffic != CACHED && dim * in % 64 != 0) prefetch_to(soon + dim * in - 1, 1, e.near);
  if (streaming && (uintptr_t)out % 64 != 0) {
    // A streaming store takes a whole line, so the row's ragged start goes through the cache.
    const size_t ragged = -(uintptr_t)out % 64 / to, head = ragged < dim ? ragged : dim;
    embed_step(token, position, out, head, scale, e, false);
    token += head * in, position += e.positioned ? head * in : 0, soon += head * in;
    out += head * to, dim -= head;
  }
  EK_EACH_TWO(dim, i, n, {
    if (e.traffic != CACHED) prefetch_to(soon + i * in, n * in, e.near);
    embed_step(token + i * in, e.positioned ? position + i * in : NULL, out + i * to, n, scale, e,
               streaming);
  });
}

/// The rows of a nest. The prefetched row is some rows on in visiting order, across the ends of
/// inner loops; near the end of the nest it is the row itself, which costs nothing.
EK_INLINE void embed_nest(const ek_embed_tile *tile, embedding e) {
  // A copy that nothing else can point to, so that its fields stay in registers.
  const ek_embed_tile nest = *tile;
  const char *const tokens = (const char *)nest.tokens;
  const char *const positions = (const char *)nest.positions;
  char *const output = (char *)nest.output;
  const size_t in = nest.dim * bytes_of(e.input), to = nest.dim * bytes_of(e.output);
  cursor ahead = {0, 0, 0};
  if (e.traffic != CACHED) ahead = cursor_ahead(&nest);
  for (size_t o = 0; o < nest.outer.count; o++) {
    size_t n = o * nest.outer.tokens, place = o * nest.outer.positions;
    for (size_t i = 0; i < nest.inner.count; i++) {
      const char *token = tokens + token_id(&nest, n) * in, *soon = token;
      if (e.traffic != CACHED && ahead.outer < nest.outer.count) {
        soon = tokens + token_id(&nest, ahead.token) * in;
        ahead = next_token(&nest, ahead);
      }
      embed_row(token, e.positioned ? positions + position_id(&nest, place) * in : NULL, soon,
                output + n * to, nest.dim, nest.scale, e);
      n += nest.inner.tokens;
      place += nest.inner.positions;
    }
  }
  if (e.traffic == STREAMED) fence();
}

EK_INLINE void embed_traffic(const ek_embed_tile *tile, embedding e) {
  // Loops of their own for floats alone: outputs past the caches were not seen to gain.
  const bool near = tile->near && e.input == EK_F32 && e.output == EK_F32;
  if (tile->streaming && near)
    embed_nest(tile, (e.traffic = STREAMED, e.near = true, e));
  else if (tile->streaming)
    embed_nest(tile, (e.traffic = STREAMED, e));
  else if (tile->prefetch_rows && near)
    embed_nest(tile, (e.traffic = PREFETCHED, e.near = true, e));
  else if (tile->prefetch_rows)
    embed_nest(tile, (e.traffic = PREFETCHED, e));
  else
    embed_nest(tile, (e.traffic = CACHED, e));
}

EK_INLINE void embed_types(const ek_embed_tile *tile, ek_element input, ek_element output) {
  if (!tile->positions)
    embed_traffic(tile, (embedding){input, output, true, false, CACHED, false});
  else if (tile->scale == 1)
    embed_traffic(tile, (embedding){input, output, false, true, CACHED, false});
  else
    embed_traffic(tile, (embedding){input, output, true, true, CACHED, false});
}

/// Runs `act(input, output)` for the types that `in` and `out` are, which differ, both known when
/// compiling.
#define EK_OF_TYPES(in, out, act)            \
  do {                                       \
    if (in == EK_F32 && out == EK_F16)       \
      act(EK_F32, EK_F16);                   \
    else if (in == EK_F32 && out == EK_BF16) \
      act(EK_F32, EK_BF16);                  \
    else if (in == EK_F16 && out == EK_F32)  \
      act(EK_F16, EK_F32);                   \
    else if (in == EK_F16 && out == EK_BF16) \
      act(EK_F16, EK_BF16);                  \
    else if (in == EK_BF16 && out == EK_F32) \
      act(EK_BF16, EK_F32);                  \
    else if (in == EK_BF16 && out == EK_F16) \
      act(EK_BF16, EK_F16);                  \
  } while (0)

static void embed(const ek_element_tile *tile) {
#define EK_ACT(input, output) embed_types(&tile->rows, input, output)
  if (tile->input != tile->output)
    EK_OF_TYPES(tile->input, tile->output, EK_ACT);
  else if (tile->input == EK_F32)
    EK_ACT(EK_F32, EK_F32);
  else if (tile->input == EK_F16)
    EK_ACT(EK_F16, EK_F16);
  else
    EK_ACT(EK_BF16, EK_BF16);
#undef EK_ACT
}

static void convert(const void *from, ek_element input, void *to, ek_element output, size_t count) {
#define EK_ACT(input, output) \
  embed_row(from, NULL, from, to, count, 1, (embedding){input, output, false, false, CACHED, false})
  EK_OF_TYPES(input, output, EK_ACT);
#undef EK_ACT
}

#endif
