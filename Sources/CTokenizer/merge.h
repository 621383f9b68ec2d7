// The ids of a piece that no table has: its bytes merge, the neighbours of the lowest rank first,
// of equal ones the leftmost. All on the stack; longer pieces than these are Swift's.
#ifndef EMBEDKERNEL_MERGE_H
#define EMBEDKERNEL_MERGE_H

#include "vocabulary.h"

enum { NONE = INT32_MAX };

/// The place of the first of the lowest of `count` ranks.
static inline size_t lowest(const int32_t *ranks, size_t count) {
  if (count <= 16) {
    size_t best = 0;
    int32_t rank = ranks[0];
    for (size_t i = 1; i < count; i++) {
      best = ranks[i] < rank ? i : best;
      rank = ranks[i] < rank ? ranks[i] : rank;
    }
    return best;
  }
  int32_t rank = NONE;
  for (size_t i = 0; i < count; i++) rank = ranks[i] < rank ? ranks[i] : rank;
  size_t best = 0;
  while (ranks[best] != rank) best++;
  return best;
}

static size_t merge_piece(const ek_vocabulary *v, const uint8_t *piece, size_t length,
                          int32_t *ids) {
  // By the place of a part's first byte: its id, its merge with the part after it, and its
  // neighbours.
  uint32_t parts[EK_LONGEST_PIECE], made[EK_LONGEST_PIECE];
  int32_t ranks[EK_LONGEST_PIECE];
  uint16_t next[EK_LONGEST_PIECE], previous[EK_LONGEST_PIECE];
  for (size_t i = 0; i < length; i++) {
    parts[i] = v->byte_ids[piece[i]];
    next[i] = (uint16_t)(i + 1);
    previous[i] = (uint16_t)(i - 1);
    ranks[i] = NONE;
  }
  for (size_t i = 0; i + 1 < length; i++) {
    merge m = v->byte_pairs[piece[i]][piece[i + 1]];
    ranks[i] = m.rank;
    made[i] = m.id;
  }
  while (true) {
    size_t at = lowest(ranks, length);
    if (ranks[at] == NONE) break;
    size_t absorbed = next[at], after = next[absorbed];
    parts[at] = made[at];
    next[at] = (uint16_t)after;
    ranks[absorbed] = NONE;
    ranks[at] = NONE;
    if (after < length) {
      previous[after] = (uint16_t)at;
      const ek_pair *pair = find_pair(v, parts[at], parts[after]);
      if (pair != NULL) {
        ranks[at] = (int32_t)pair->rank;
        made[at] = pair->id;
      }
    }
    if (at > 0) {
      size_t before = previous[at];
      const ek_pair *pair = find_pair(v, parts[before], parts[at]);
      ranks[before] = pair != NULL ? (int32_t)pair->rank : NONE;
      if (pair != NULL) made[before] = pair->id;
    }
  }
  size_t count = 0;
  for (size_t i = 0; i < length; i = next[i]) ids[count++] = (int32_t)parts[i];
  return count;
}

#endif
