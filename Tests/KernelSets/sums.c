// Checks of what adds rows up and turns them: sum_rows, rotate, by distance, and whole rows.
#include "check.h"

enum { R = 15, COUNT = 11 };

void check_sum_rows(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 24; variant++) {
      const size_t width = lengths[d], stride = width + (toss() ? 0 : 16);
      int32_t *indices = input(1, COUNT * 4), *destinations = input(2, R * 4);
      // Each row of `passed` at most once.
      int32_t passed = 0;
      for (size_t i = 0; i < COUNT; i++) indices[i] = (int32_t)((i * 4 + 1) % R);
      for (size_t r = 0; r < R; r++) destinations[r] = toss() ? passed++ : -1;
      ek_row_sum sum = {.rows = input_floats(0, R * stride),
                        .indices = toss() ? indices : NULL,
                        .count = 1 + draw_below(COUNT),
                        .stride = stride,
                        .width = width,
                        .leaf = variant % 2 ? SIZE_MAX : 1 + draw_below(4),
                        .factor = toss() ? 1 : 0.7f,
                        .pass_factor = toss() ? 1 : 0.3f,
                        .compensated = variant % 3 == 2,
                        .accumulate = toss(),
                        .pass_accumulate = toss(),
                        .near = toss()};
      if (toss()) sum.ahead = indices, sum.ahead_count = draw_below(COUNT);
      if (!sum.compensated && toss())
        sum.destinations = destinations;
      else if (toss())
        sum.factors = input_floats(3, COUNT);
      if (sum.compensated && toss()) sum.corrections = input_floats(4, R * stride);
      if (width % 16 == 0 && stride == width && toss()) sum.streaming = sum.pass_streaming = true;
      const bool tells = sum.compensated && toss();
      begin_case();
      EACH_SET(s) {
        sum.output = result(s, 0, width * 4);
        sum.passed = result(s, 1, R * stride * 4);
        sum.correction_output = tells ? result(s, 2, width * 4) : NULL;
        CALL(s, sum_rows(&sum));
      }
      agree("width %zu, %zu rows, leaf %zd, compensated %d, passes %d, streaming %d", width,
            sum.count, (ptrdiff_t)sum.leaf, sum.compensated, sum.destinations != NULL,
            sum.streaming);
    }
}

/// Groups of one row or more, with what groups of many and of one may ask for.
void check_sum_groups(void) {
  enum { groups = 5 };
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 24; variant++) {
      const size_t width = lengths[d];
      int32_t *offsets = input(2, (groups + 1) * 4), *row_ids = input(3, groups * 4);
      offsets[0] = 0;
      for (size_t g = 0; g < groups; g++) {
        const int32_t most = (int32_t)(16 - (groups - 1 - g)), next = offsets[g] + 1;
        const int32_t end = next + (int32_t)draw_below(5);
        offsets[g + 1] = end < most ? end : most;
        row_ids[g] = (int32_t)(groups - 1 - g);
      }
      const size_t count = (size_t)offsets[groups];
      int32_t *members = input(1, count * 4);
      for (size_t m = 0; m < count; m++) members[m] = (int32_t)((m * 4 + 1) % R);
      ek_group_sum work = {.sum = {.rows = input_floats(0, R * width),
                                   .stride = width,
                                   .width = width,
                                   .leaf = variant % 2 ? SIZE_MAX : 1 + draw_below(4),
                                   .factor = toss() ? 1 : 0.7f,
                                   .compensated = variant % 3 == 2,
                                   .accumulate = toss(),
                                   .near = toss()},
                           .members = members,
                           .offsets = offsets,
                           .row_ids = toss() ? row_ids : NULL,
                           .begin = draw_below(2),
                           .end = groups - draw_below(2),
                           .ahead = draw_below(4),
                           .divides_by_count = toss(),
                           .skips_lone = toss()};
      if (toss()) work.sum.factors = input_floats(4, count);
      work.sum.streaming = width % 16 == 0 && toss();
      begin_case();
      EACH_SET(s) {
        work.sum.output = result(s, 0, groups * width * 4);
        CALL(s, sum_groups(&work));
      }
      agree("width %zu, groups %zu to %zu, leaf %zd, compensated %d, ahead %zu, skips lone %d",
            width, work.begin, work.end, (ptrdiff_t)work.sum.leaf, work.sum.compensated, work.ahead,
            work.skips_lone);
    }
}

void check_rotate(void) {
  enum { rows = 3 };
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 24; variant++) {
      const size_t pairs = lengths[d] > 1100 ? 1100 : lengths[d], rest = draw_below(4) * 5;
      const size_t dim = 2 * pairs + rest, type = (size_t)variant % 3, size = type ? 2 : 4;
      ek_rotary_tile tile = {.type = (ek_element)type,
                             .rows = input_floats(1, 2 * pairs * rows),
                             .sines = pairs,
                             .outer = {1, 0, 0},
                             .inner = {rows, dim, 2 * pairs},
                             .pairs = pairs,
                             .partner = pairs,
                             .rest_at = 2 * pairs,
                             .rest = rest,
                             .neighbours = variant / 3 % 2,
                             .inverse = variant / 6 % 2};
      tile.streaming = variant / 12 && pairs % 32 == 0 && rest == 0;
      void *elements = input(0, rows * dim * size);
      if (type)
        fill_narrow(elements, rows * dim);
      else
        fill_floats(elements, rows * dim, -1, 1);
      const bool in_place = toss();
      begin_case();
      EACH_SET(s) {
        tile.output = result(s, 0, rows * dim * size);
        tile.input = elements;
        if (in_place) tile.input = memcpy(tile.output, elements, rows * dim * size);
        CALL(s, rotate(&tile));
      }
      agree("%zu pairs, %zu more, type %zu, neighbours %d, inverse %d, in place %d, streaming %d",
            pairs, rest, type, tile.neighbours, tile.inverse, in_place, tile.streaming);
    }
}

// MARK: By distance

static ek_distance_tile draw_distances(size_t columns, int variant) {
  const ptrdiff_t ends[] = {(ptrdiff_t)columns, (ptrdiff_t)draw_below(columns + 1), -2, 1};
  return (ek_distance_tile){.rows = 1 + draw_below(9),
                            .columns = columns,
                            .stride = columns + draw_below(2) * 3,
                            .visible = ends[draw_below(4)],
                            .element = (ek_element)(variant % 3)};
}

static size_t logit_bytes(const ek_distance_tile *tile) {
  return tile->rows * tile->stride * (tile->element == EK_F32 ? 4 : 2);
}

void check_add_by_distance(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 12; variant++) {
      ek_distance_tile tile = draw_distances(lengths[d], variant);
      tile.overwrite = variant / 3 % 2;
      tile.table = input_floats(0, tile.rows - 1 + tile.columns) + tile.rows - 1;
      uint16_t *narrow = input(1, logit_bytes(&tile));
      fill_narrow(narrow, logit_bytes(&tile) / 2);
      begin_case();
      EACH_SET(s) {
        tile.logits = result(s, 0, logit_bytes(&tile));
        if (tile.element != EK_F32) memcpy(tile.logits, narrow, logit_bytes(&tile));
        CALL(s, add_by_distance(&tile));
      }
      agree("%zu by %zu, visible %td, type %d, overwrites %d", tile.rows, tile.columns,
            tile.visible, tile.element, tile.overwrite);
    }
}

void check_sum_by_distance(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int variant = 0; variant < 12; variant++) {
      ek_distance_tile tile = draw_distances(lengths[d], variant);
      tile.logits = input(0, logit_bytes(&tile));
      if (tile.element == EK_F32)
        fill_floats(tile.logits, logit_bytes(&tile) / 4, -1, 1);
      else
        fill_narrow(tile.logits, logit_bytes(&tile) / 2);
      begin_case();
      EACH_SET(s) {
        tile.table = result(s, 0, 4 * (tile.rows - 1 + tile.columns));
        tile.table += tile.rows - 1;
        CALL(s, sum_by_distance(&tile));
      }
      agree("%zu by %zu, visible %td, type %d", tile.rows, tile.columns, tile.visible,
            tile.element);
    }
}

// MARK: Whole rows

void check_scale_row(void) {
  for (size_t d = 0; d < length_count; d++) {
    begin_case();
    EACH_SET(s) {
      float *row = result(s, 0, lengths[d] * 4);
      CALL(s, scale_row(row, lengths[d], 0.7f));
    }
    agree("dim %zu", lengths[d]);
  }
}

void check_fill_rows(void) {
  for (size_t d = 0; d < length_count; d++) {
    const float *row = input_floats(0, lengths[d]);
    begin_case();
    EACH_SET(s) {
      void *to = result(s, 0, 3 * lengths[d] * 4);
      CALL(s, fill_rows(row, to, 3, lengths[d]));
    }
    agree("dim %zu", lengths[d]);
  }
}

void check_add_row(void) {
  for (size_t d = 0; d < length_count; d++) {
    const float *x = input_floats(0, 3 * lengths[d]), *row = input_floats(1, lengths[d]);
    begin_case();
    EACH_SET(s) {
      void *to = result(s, 0, 3 * lengths[d] * 4);
      CALL(s, add_row(x, row, to, 3, lengths[d]));
    }
    agree("dim %zu", lengths[d]);
  }
}

void check_sum_columns(void) {
  for (size_t d = 0; d < length_count; d++)
    for (size_t rows = 1; rows < 10; rows += 2) {
      const size_t columns = lengths[d], stride = columns + rows % 3;
      const float *x = input_floats(0, rows * stride);
      begin_case();
      EACH_SET(s) {
        void *to = result(s, 0, columns * 4);
        CALL(s, sum_columns(x, stride, to, rows, columns));
      }
      agree("%zu rows of %zu columns", rows, columns);
    }
}
