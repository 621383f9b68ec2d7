// Checks of what pools rows of bags: ids_below, pool_rows, bag_weight_gradients.
#include "check.h"

/// Ids of either width, all within a limit or one outside it, at every place of a vector.
void check_ids_below(void) {
  static const size_t limits[] = {1, 7, 0x7FFFFFFF, 0x80000000, (size_t)1 << 40};
  for (size_t count = 0; count < 70; count += 1 + count / 8)
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++)
      for (size_t id_bytes = 4; id_bytes <= 8; id_bytes += 4) {
        const size_t limit = limits[k];
        void *ids = input(0, count * id_bytes);
        const size_t most = id_bytes == 4 && limit > INT32_MAX ? INT32_MAX : limit - 1;
        for (size_t at = 0; at <= count; at++) {
          for (size_t i = 0; i < count; i++) {
            int64_t id = (int64_t)(toss() ? most : draw_below(most < 99 ? most + 1 : 99));
            if (i == at)
              id = toss() || most == INT32_MAX ? -1 - (int64_t)draw_below(9) : (int64_t)limit;
            memcpy((char *)ids + i * id_bytes, &id, id_bytes);
          }
          begin_case();
          EACH_SET(s) {
            uint32_t *answer = result(s, 0, sizeof *answer);
            CALL_FOR(*answer, s, ids_below(ids, count, id_bytes, limit));
            if (*answer != (at == count)) fail("an id outside is not seen");
          }
          agree("%zu ids of %zu bytes below %zu, one outside at %zu", count, id_bytes, limit, at);
        }
      }
}

enum { V = 9, BAGS = 5, MOST = 40 };

/// Bags in any of the forms, over a table of `format`; all slots up to 7 are taken.
static ek_bag_tile draw_bags(ek_row_format format, size_t dim) {
  ek_bag_tile t = {.table = draw_rows(format, V, dim, 0),
                   .rows = V,
                   .last = BAGS,
                   .longest = draw_below(8) ? SIZE_MAX : 3,
                   .columns = dim,
                   .padding = toss() ? (int64_t)draw_below(V) : INT64_MIN,
                   .prefetch_rows = draw_below(4),
                   .id_bytes = toss() ? 4 : 8,
                   .is_checked = toss(),
                   .clamps = toss()};
  size_t lengths_of_bags[BAGS];
  t.bags =
      (ek_bags){.count = BAGS, .form = (ek_bag_form)draw_below(3), .number_bytes = toss() ? 4 : 8};
  t.bags.length = draw_below(4);
  for (size_t b = 0; b < BAGS; b++) {
    lengths_of_bags[b] = t.bags.form == EK_BAG_EQUAL ? t.bags.length : draw_below(MOST / BAGS);
    t.bags.ids += lengths_of_bags[b];
  }
  char *numbers = input(2, BAGS * t.bags.number_bytes);
  uint64_t start = 0;
  for (size_t b = 0; b < BAGS; b++) {
    const uint64_t number = t.bags.form == EK_BAG_STARTS ? start : lengths_of_bags[b];
    memcpy(numbers + b * t.bags.number_bytes, &number, t.bags.number_bytes);
    start += lengths_of_bags[b];
  }
  t.bags.numbers = numbers;
  char *ids = input(3, t.bags.ids * t.id_bytes);
  for (size_t i = 0; i < t.bags.ids; i++) {
    // Now and then one outside the table.
    const int64_t id = t.is_checked || draw_below(9) ? (int64_t)draw_below(V) : toss() ? -3 : V + 2;
    memcpy(ids + i * t.id_bytes, &id, t.id_bytes);
  }
  t.ids = ids;
  t.weights = toss() ? input_floats(4, t.bags.ids) : NULL;
  return t;
}

void check_pool_rows(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int format = 0; format < EK_ROW_FORMATS; format++)
      for (int variant = 0; variant < 9; variant++) {
        const size_t dim = lengths[d];
        if (!has_rows((ek_row_format)format, dim)) continue;
        ek_bag_tile t = draw_bags((ek_row_format)format, dim);
        t.pool = (ek_pool)(variant % 3);
        t.output_type = (ek_element)(variant / 3);
        if (t.pool == EK_POOL_MAX) t.weights = NULL;
        // Threads cut columns too, at multiples of 32.
        t.column = draw_below(3) ? 0 : draw_below(dim) / 32 * 32;
        t.columns = dim - t.column;
        t.streaming = t.output_type == EK_F32 && toss();
        const size_t bytes = BAGS * dim * (t.output_type == EK_F32 ? 4 : 2);
        const bool wins = t.pool == EK_POOL_MAX && toss();
        begin_case();
        EACH_SET(s) {
          t.output = result(s, 0, bytes);
          t.winners = wins ? result(s, 1, BAGS * dim * 4) : NULL;
          CALL(s, pool_rows(&t));
        }
        agree("dim %zu from %zu, format %d, pool %d, to type %d, weights %d, streaming %d", dim,
              t.column, format, t.pool, t.output_type, t.weights != NULL, t.streaming);
      }
}

void check_bag_weight_gradients(void) {
  for (size_t d = 0; d < length_count; d++)
    for (int format = 0; format < EK_ROW_FORMATS; format++)
      for (int variant = 0; variant < 3; variant++) {
        const size_t dim = lengths[d];
        if (!has_rows((ek_row_format)format, dim)) continue;
        ek_bag_tile t = draw_bags((ek_row_format)format, dim);
        t.gradient = input_floats(5, BAGS * dim);
        t.last_id = t.bags.ids;
        if (variant) t.first_id = draw_below(t.bags.ids + 1);
        begin_case();
        EACH_SET(s) {
          t.weight_gradient = result(s, 0, t.bags.ids * 4);
          CALL(s, bag_weight_gradients(&t));
        }
        agree("dim %zu, format %d, ids from %zu", dim, format, t.first_id);
      }
}
