// Two-byte logits that take a table's floats along their diagonals: each is widened, added to as a
// float and rounded once. The same for every instruction set, over the lanes of its lanes_*.h.
//
// Bytes a logit: 2 read and 2 written; the table's row stays in cache.
#include <math.h>
#include <string.h>

#include "distance.h"

EK_SET EK_INLINE lanes floats_at(const float *x) { return lanes_load((const char *)x, EK_F32, false); }

/// y[:] = round(y[:] + x[:]), or round(x[:])
EK_SET EK_INLINE void round_row(uint16_t *y, const float *x, size_t count, ek_element type,
                                bool overwrite) {
  size_t i = 0;
  for (; i + EK_STEP <= count; i += EK_STEP) {
    lanes v = floats_at(x + i);
    if (!overwrite) v = lanes_add(lanes_load((const char *)(y + i), type, false), v);
    lanes_store((char *)(y + i), v, type, false, false);
  }
  if (i == count) return;
  // The rest by way of whole lanes on the stack.
  float added[EK_STEP] = {0};
  uint16_t old[EK_STEP] = {0};
  memcpy(added, x + i, (count - i) * sizeof *x);
  memcpy(old, y + i, (count - i) * sizeof *y);
  lanes v = floats_at(added);
  if (!overwrite) v = lanes_add(lanes_load((const char *)old, type, false), v);
  lanes_store((char *)old, v, type, false, false);
  memcpy(y + i, old, (count - i) * sizeof *y);
}

/// x[:] += y[:]
EK_SET EK_INLINE void sum_row(float *x, const uint16_t *y, size_t count, ek_element type) {
  size_t i = 0;
  for (; i + EK_STEP <= count; i += EK_STEP) {
    lanes v = lanes_add(floats_at(x + i), lanes_load((const char *)(y + i), type, false));
    lanes_store((char *)(x + i), v, EK_F32, false, false);
  }
  if (i == count) return;
  float sums[EK_STEP] = {0};
  uint16_t added[EK_STEP] = {0};
  memcpy(sums, x + i, (count - i) * sizeof *x);
  memcpy(added, y + i, (count - i) * sizeof *y);
  lanes v = lanes_add(floats_at(sums), lanes_load((const char *)added, type, false));
  lanes_store((char *)sums, v, EK_F32, false, false);
  memcpy(x + i, sums, (count - i) * sizeof *x);
}

EK_SET EK_INLINE void add_tile(const ek_distance_tile *tile, ek_element type, bool overwrite) {
  const ek_distance_tile t = *tile;
  // The bits of minus infinity.
  const uint16_t hidden = type == EK_BF16 ? 0xFF80 : 0xFC00;
  for (size_t r = 0; r < t.rows; r++) {
    uint16_t *logits = (uint16_t *)t.logits + r * t.stride;
    size_t seen = ek_seen(&t, r);
    round_row(logits, t.table - r, seen, type, overwrite);
    for (size_t j = seen; j < t.columns; j++) logits[j] = hidden;
  }
}

EK_SET void EK_NAME(ek_add_by_distance_typed)(const ek_distance_tile *tile) {
  if (tile->element == EK_BF16) {
    if (tile->overwrite) add_tile(tile, EK_BF16, true);
    else add_tile(tile, EK_BF16, false);
  } else {
    if (tile->overwrite) add_tile(tile, EK_F16, true);
    else add_tile(tile, EK_F16, false);
  }
}

EK_SET EK_INLINE void sum_tile(const ek_distance_tile *tile, ek_element type) {
  const ek_distance_tile t = *tile;
  for (size_t r = 0; r < t.rows; r++)
    sum_row(t.table - r, (const uint16_t *)t.logits + r * t.stride, ek_seen(&t, r), type);
}

EK_SET void EK_NAME(ek_sum_by_distance_typed)(const ek_distance_tile *tile) {
  if (tile->element == EK_BF16) sum_tile(tile, EK_BF16);
  else sum_tile(tile, EK_F16);
}
