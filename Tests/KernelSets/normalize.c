// Checks of rows summed, normalised and dropped from: normalize, normalize_gradient.
#include "check.h"

enum { V = 6, B = 2, T = 4, N = B * T, KINDS = 3 };

/// Elements of a table.
static const void *draw_elements(int slot, size_t count, ek_element type) {
  if (type == EK_F32) return input_floats(slot, count);
  uint16_t *at = input(slot, count * sizeof *at);
  fill_narrow(at, count);
  return at;
}

/// Any combination of parts, in slots 0 to 6.
static ek_normalize_tile draw_tile(size_t dim, int kind) {
  ek_normalize_tile tile = {
      .epsilon = 1e-5f, .kind = (ek_normalization)kind, .first = draw_below(99)};
  ek_embed_tile *rows = &tile.rows;
  if (toss()) tile.input = (ek_element)draw_below(3), tile.output = (ek_element)draw_below(3);
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
  rows->tokens = draw_elements(0, (has_ids ? V : N) * dim, tile.input);
  if (has_ids) {
    char *ids = input(1, N * id_bytes);
    for (size_t n = 0; n < N; n++) {
      const uint64_t id = draw_below(V);
      memcpy(ids + n * id_bytes, &id, id_bytes);
    }
    rows->ids = ids;
  }
  if (draw_below(4)) rows->positions = draw_elements(2, T * dim, tile.input);
  if (draw_below(3) == 0) {
    tile.segments = draw_elements(3, 2 * dim, tile.input);
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
  agree(
      "dim %zu of %d to %d, kind %d, ids %d, positions %d, segments %d, beta %d, dropout %d, "
      "streaming %d",
      tile->rows.dim, tile->input, tile->output, tile->kind, tile->rows.ids != NULL,
      tile->rows.positions != NULL, tile->segments != NULL, tile->beta != NULL,
      tile->dropout.threshold != 0, tile->rows.streaming);
}

void check_normalize(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 8 * KINDS; variant++) {
      ek_normalize_tile tile = draw_tile(lengths[d], variant % KINDS);
      begin_case();
      EACH_SET(s) {
        // Zeros, as floats read as 16-bit elements may be NaN, which are not compared by bits.
        tile.rows.output = zeros(s, 0, N * lengths[d] * (tile.output == EK_F32 ? 4 : 2));
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
      const bool in_place = !tile.forward.rows.ids && tile.forward.input == EK_F32 && toss();
      tile.forward.output = EK_F32;
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
