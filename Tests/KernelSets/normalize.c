// Checks of rows summed, normalised and dropped from: normalize, normalize_gradient.
#include "check.h"

enum { V = 6, B = 2, T = 4, N = B * T, KINDS = 3 };

/// Any combination of parts, in slots 0 to 6.
static ek_normalize_tile draw_tile(size_t dim, int kind) {
  ek_normalize_tile tile = {
      .epsilon = 1e-5f, .kind = (ek_normalization)kind, .first = draw_below(99)};
  ek_embed_tile *rows = &tile.rows;
  const ek_loop sequences = {B, T, 0}, positions = {T, 1, 1};
  const size_t id_bytes = toss() ? 4 : 8;
  const bool has_ids = draw_below(4) != 0;
  rows->outer = toss() ? sequences : positions;
  rows->inner = rows->outer.count == B ? positions : sequences;
  rows->dim = dim;
  rows->id_bytes = (uint8_t)id_bytes;
  rows->scale = toss() ? 1 : 1.25f;
  rows->prefetch_rows = draw_below(3);
  rows->streaming = toss();
  rows->tokens = input_floats(0, (has_ids ? V : N) * dim);
  if (has_ids) {
    char *ids = input(1, N * id_bytes);
    for (size_t n = 0; n < N; n++) {
      const uint64_t id = draw_below(V);
      memcpy(ids + n * id_bytes, &id, id_bytes);
    }
    rows->ids = ids;
  }
  if (draw_below(4)) rows->positions = input_floats(2, T * dim);
  if (draw_below(3) == 0) {
    tile.segments = input_floats(3, 2 * dim);
    if (toss()) {
      char *ids = input(4, N * id_bytes);
      for (size_t n = 0; n < N; n++) {
        const uint64_t id = draw_below(2);
        memcpy(ids + n * id_bytes, &id, id_bytes);
      }
      tile.segment_ids = ids;
    }
  }
  if (kind) tile.gamma = input_floats(5, dim);
  if (kind && toss()) tile.beta = input_floats(6, dim);
  if (draw_below(3) == 0)
    tile.dropout =
        (ek_dropout){.key = draw(), .stream = draw(), .threshold = 1u << 30, .scale = 4 / 3.0f};
  return tile;
}

static void tell(const ek_normalize_tile *tile) {
  agree("dim %zu, kind %d, ids %d, positions %d, segments %d, beta %d, dropout %d, streaming %d",
        tile->rows.dim, tile->kind, tile->rows.ids != NULL, tile->rows.positions != NULL,
        tile->segments != NULL, tile->beta != NULL, tile->dropout.threshold != 0,
        tile->rows.streaming);
}

void check_normalize(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 8 * KINDS; variant++) {
      ek_normalize_tile tile = draw_tile(lengths[d], variant % KINDS);
      begin_case();
      EACH_SET(s) {
        tile.rows.output = result(s, 0, N * lengths[d] * 4);
        CALL(s, normalize(&tile));
      }
      tell(&tile);
    }
}

void check_normalize_gradient(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 8 * KINDS; variant++) {
      const size_t dim = lengths[d];
      ek_normalize_gradient_tile tile = {.forward = draw_tile(dim, variant % KINDS)};
      const float *gradient = tile.gradient = input_floats(7, N * dim);
      const bool in_place = !tile.forward.rows.ids && toss();
      begin_case();
      EACH_SET(s) {
        tile.gradient = gradient;
        tile.forward.rows.output = result(s, 0, N * dim * 4);
        const float *tokens = tile.forward.rows.tokens;
        // d(x) may go to where x lies.
        if (in_place)
          tile.forward.rows.tokens = memcpy(tile.forward.rows.output, tokens, N * dim * 4);
        tile.gamma = tile.forward.kind ? result(s, 1, dim * 4) : NULL;
        tile.beta = tile.forward.beta ? result(s, 2, dim * 4) : NULL;
        tile.segments = tile.forward.segments ? result(s, 3, 2 * dim * 4) : NULL;
        CALL(s, normalize_gradient(&tile));
        tile.forward.rows.tokens = tokens;
      }
      tell(&tile.forward);
    }
}
