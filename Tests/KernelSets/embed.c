// Checks of what gathers rows and converts elements: embed, embed_rows, decode_row, convert.
#include "check.h"

enum { V = 6, B = 2, T = 3, N = B * T };

/// A nest over B sequences of T tokens in either order, with ids of either width in slot 0.
static ek_embed_tile draw_nest(size_t dim) {
  ek_embed_tile nest = {.dim = dim, .scale = toss() ? 1 : 1.25f, .id_bytes = toss() ? 4 : 8};
  const ek_loop sequences = {B, T, 0}, positions = {T, 1, 1};
  nest.outer = toss() ? sequences : positions;
  nest.inner = nest.outer.count == B ? positions : sequences;
  nest.prefetch_rows = draw_below(4);
  nest.near = nest.prefetch_rows % 2 != 0;
  nest.streaming = draw_below(3) == 0;
  nest.ids = input(0, N * nest.id_bytes);
  for (size_t n = 0; n < N; n++) {
    const uint64_t id = draw_below(V);
    memcpy((char *)(uintptr_t)nest.ids + n * nest.id_bytes, &id, nest.id_bytes);
  }
  if (toss()) {
    int32_t *places = input(1, T * sizeof *places);
    for (size_t t = 0; t < T; t++) places[t] = (int32_t)draw_below(T);
    nest.position_ids = places;
  }
  return nest;
}

static size_t size_of(ek_element type) { return type == EK_F32 ? 4 : 2; }

static void *draw_elements(int slot, ek_element type, size_t count) {
  void *at = input(slot, count * size_of(type));
  if (type == EK_F32)
    fill_floats(at, count, -1, 1);
  else
    fill_narrow(at, count);
  return at;
}

void check_embed(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int pair = 0; pair < 9; pair++)
      for (int variant = 0; variant < 6; variant++) {
        const size_t dim = lengths[d];
        ek_element_tile tile = {.rows = draw_nest(dim),
                                .input = (ek_element)(pair / 3),
                                .output = (ek_element)(pair % 3)};
        tile.rows.tokens = draw_elements(2, tile.input, V * dim);
        if (variant % 3) tile.rows.positions = draw_elements(3, tile.input, T * dim);
        begin_case();
        EACH_SET(s) {
          tile.rows.output = result(s, 0, N * dim * size_of(tile.output));
          CALL(s, embed(&tile));
        }
        agree("dim %zu, types %d to %d, scale %g, prefetch %zu, streaming %d", dim, tile.input,
              tile.output, (double)tile.rows.scale, tile.rows.prefetch_rows, tile.rows.streaming);
      }
}

void check_embed_rows(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int format = 0; format < EK_ROW_FORMATS; format++)
      for (int variant = 0; variant < 9; variant++) {
        const size_t dim = lengths[d];
        if (!has_rows((ek_row_format)format, dim)) continue;
        ek_row_tile tile = {.rows = draw_nest(dim),
                            .table = draw_rows((ek_row_format)format, V, dim, 4),
                            .positions = (ek_element)(variant % 3),
                            .output = (ek_element)(variant / 3)};
        if (toss()) tile.rows.positions = draw_elements(3, tile.positions, T * dim);
        begin_case();
        EACH_SET(s) {
          tile.rows.output = result(s, 0, N * dim * size_of(tile.output));
          CALL(s, embed_rows(&tile));
        }
        agree("dim %zu, format %d, to type %d, streaming %d", dim, format, tile.output,
              tile.rows.streaming);
      }
}

/// All bytes of fp8 and all elements of 16 bits, and stretches of rows of every format.
void check_decode_row(void) {
  for (int format = EK_ROWS_F16; format <= EK_ROWS_FP8; format++) {
    const size_t dim = format <= EK_ROWS_BF16 ? 0x10000 : 0x100;
    ek_rows table = {.row_bytes = row_bytes_of((ek_row_format)format, dim),
                     .dim = dim,
                     .format = (ek_row_format)format};
    void *bytes = input(0, table.row_bytes), *scales = input(1, 4);
    const float scale = 1.25f;
    const _Float16 half = (_Float16)scale;
    if (format == EK_ROWS_INT8_F16)
      memcpy(scales = input(1, 2), &half, sizeof half);
    else
      memcpy(scales, &scale, sizeof scale);
    for (size_t i = 0; i < dim; i++) {
      if (dim > 0x100)
        ((uint16_t *)bytes)[i] = (uint16_t)i;
      else
        ((uint8_t *)bytes)[i] = (uint8_t)i;
    }
    table.bytes = bytes, table.scales = scales;
    begin_case();
    EACH_SET(s) {
      void *to = result(s, 0, dim * 4);
      CALL(s, decode_row(&table, 0, 0, dim, to));
    }
    agree("every element of format %d", format);
  }
  for (size_t d = 0; d < length_count; d++)
    for (int format = 0; format < EK_ROW_FORMATS; format++) {
      const size_t dim = lengths[d];
      if (!has_rows((ek_row_format)format, dim)) continue;
      const ek_rows table = draw_rows((ek_row_format)format, V, dim, 4);
      for (int variant = 0; variant < 3; variant++) {
        const size_t row = draw_below(V), column = variant ? draw_below(dim) / 32 * 32 : 0;
        // A stretch may end anywhere where the row does, in blocks after whole ones.
        const size_t left = dim - column, blocks = draw_below(left / 32 + 1) * 32;
        const size_t count = variant < 2 || blocks == 0 ? left : blocks;
        begin_case();
        EACH_SET(s) {
          void *to = result(s, 0, count * 4);
          CALL(s, decode_row(&table, row, column, count, to));
        }
        agree("dim %zu, format %d, %zu columns from %zu", dim, format, count, column);
      }
    }
}

/// Floats whose upper halves are all there are, with lower halves that round up, down and to even.
static void check_conversions_of_floats(void) {
  static const uint16_t lower[] = {0, 1, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
  const size_t count = 0x10000;
  for (size_t k = 0; k < sizeof lower / sizeof *lower; k++)
    for (ek_element to = EK_F16; to <= EK_BF16; to++) {
      uint32_t *from = input(0, count * 4);
      for (size_t i = 0; i < count; i++) from[i] = (uint32_t)i << 16 | lower[k];
      begin_case();
      EACH_SET(s) {
        void *out = result(s, 0, count * 2);
        CALL(s, convert(from, EK_F32, out, to, count));
      }
      agree("floats that end in %04x to type %d", lower[k], to);
    }
}

void check_convert(void) {
  check_conversions_of_floats();
  for (size_t d = 0; d < length_count; d++)
    for (int pair = 0; pair < 9; pair++) {
      const ek_element from = (ek_element)(pair / 3), to = (ek_element)(pair % 3);
      const size_t count = lengths[d];
      if (from == to) continue;
      const void *elements = draw_elements(0, from, count);
      begin_case();
      EACH_SET(s) {
        void *out = result(s, 0, count * size_of(to));
        CALL(s, convert(elements, from, out, to, count));
      }
      agree("%zu elements, types %d to %d", count, from, to);
    }
}
