// From text to ids through a cache of pieces: for nearly every piece of a text a lookup is one
// cache line, two comparisons without a branch, and a copy of a few ids. The bytes of long pieces
// are in the arena, as are the ids of pieces with more than three.
#ifndef EMBEDKERNEL_ENCODE_H
#define EMBEDKERNEL_ENCODE_H

#include "encoder.h"
#include "merge.h"
#include "piece_ends.h"

/// Writes the ids of a value, and up to seven words after them; returns how many ids there are.
static inline size_t copy(const ek_encoder *e, const value *v, int32_t *ids) {
  // Both without a branch: which one it is can't be foreseen.
  bool is_here = v->word[3] <= INLINE_IDS;
  const uint32_t *kept = is_here ? v->word : e->arena + v->word[0];
  size_t count = is_here ? v->word[3] : v->word[1];
  memcpy(ids, kept, 32);
  for (size_t i = 8; i < count; i += 8) memcpy(ids + i, kept + i, 32);
  return count;
}

/// The ids of any piece up to EK_LONGEST_PIECE; returns how many. `k` is its key, or 0.
__attribute__((noinline)) static size_t any_piece(ek_encoder *e, const ek_vocabulary *v, key k,
                                                  const uint8_t *piece, size_t length,
                                                  int32_t *ids) {
  if (k.high == 0) k = key_of(piece, length);
  uint64_t hash = hash_of(k);
  __builtin_prefetch(second_bucket(&e->cache, hash));
  __builtin_prefetch(first_bucket(&v->tokens, hash));
  const value *found = table_find(&e->cache, k, hash);
  if (found != NULL) {
    const uint8_t *kept = (const uint8_t *)(e->arena + found->word[0] - (length + 3) / 4);
    if (length <= SHORT || (found->word[2] == length && memcmp(kept, piece, length) == 0)) {
      size_t count = copy(e, found, ids);
      const value *values = first_bucket(&e->cache, hash)->values;
      if (found != &values[0] && found != &values[1]) table_promote(&e->cache, k, hash);
      return count;
    }
  }
  size_t count = find_token(v, k, piece, length, ids) ? 1 : merge_piece(v, piece, length, ids);
  // Two long pieces of the same hashes can't both be kept.
  if (found == NULL) encoder_keep(e, k, piece, length, ids, count);
  return count;
}

#define EK_ONES(bytes) ((bytes) >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << (bytes) % 8 * 8) - 1)
#define EK_MASK(length) {EK_ONES(length), EK_ONES((length) > 8 ? (length) - 8 : 0)}

/// The bytes of the key that are a piece's, by its length.
static const key masks[SHORT + 1] = {
    EK_MASK(0),  EK_MASK(1),  EK_MASK(2),  EK_MASK(3),  EK_MASK(4),  EK_MASK(5),
    EK_MASK(6),  EK_MASK(7),  EK_MASK(8),  EK_MASK(9),  EK_MASK(10), EK_MASK(11),
    EK_MASK(12), EK_MASK(13), EK_MASK(14), EK_MASK(15),
};

static size_t encode(ek_encoder *e, const ek_vocabulary *v, const uint8_t *text, size_t *position,
                     size_t count, int32_t *ids, size_t room, bool *is_long) {
  size_t written = 0, at = *position;
  *is_long = false;
  while (at < count && room - written >= EK_LEAST_ROOM) {
    const uint8_t *base = text + at;
    size_t found = piece_ends(text, at, WINDOW, count, v->joins, e->ends);
    if (found == 0) {
      size_t end = ek_piece_end(text, at, count);
      if (end - at > EK_LONGEST_PIECE) {
        *is_long = true;
        break;
      }
      e->ends[0] = (uint32_t)(end - at);
      found = 1;
    }
    size_t start = 0, left = count - at;
    for (size_t first = 0; first < found; first += BATCH) {
      // All of a batch are on their way from memory before the first of them is looked at.
      size_t pieces = found - first < BATCH ? found - first : BATCH, from = start;
      for (size_t i = 0; i < pieces; i++) {
        size_t end = e->ends[first + i], length = end - from;
        e->keys[i] = (key){0, 0};
        if (__builtin_expect(length <= SHORT && from + 16 <= left, 1)) {
          key k;
          memcpy(&k, base + from, sizeof k);
          k.low &= masks[length].low;
          k.high = (k.high & masks[length].high) | (uint64_t)length << 56;
          e->keys[i] = k;
          e->hashes[i] = hash_of(k);
          __builtin_prefetch(first_bucket(&e->cache, e->hashes[i]));
        }
        from = end;
      }
      for (size_t i = 0; i < pieces; i++) {
        key k = e->keys[i];
        size_t end = e->ends[first + i], length = end - start;
        const bucket *b = first_bucket(&e->cache, e->hashes[i]);
        bool is_first = equal(b->keys[0], k), is_second = equal(b->keys[1], k);
        const value *value = &b->values[is_second];
        // No piece's key is 0, as a free place's is.
        if (__builtin_expect(k.high != 0 && (is_first | is_second), 1)) {
          written += copy(e, value, ids + written);
        } else if (length > EK_LONGEST_PIECE) {
          *position = at + start;
          *is_long = true;
          return written;
        } else {
          written += any_piece(e, v, k, base + start, length, ids + written);
        }
        start = end;
      }
    }
    at += start;
  }
  *position = at;
  return written;
}

#endif
