// Pieces that are not in the first line of their key with up to three ids: those in the second one,
// longer ones, those of more ids, and new ones. What is found or made is a value as the lines have
// it.
#ifndef EMBEDKERNEL_RESOLVE_H
#define EMBEDKERNEL_RESOLVE_H

#include "encoder.h"
#include "merge.h"

/// What a table's value comes to as the lines have it; 0 where its ids are too large for that.
static inline uint64_t value_of(const value *v) {
  if (v->word[3] > INLINE_IDS) return (uint64_t)v->word[1] << 32 | v->word[0];
  const int32_t *ids = (const int32_t *)v->word;
  return can_pack(ids, v->word[3]) ? pack(ids, v->word[3]) : 0;
}

/// The value of a short piece that was there before or is a token, or 0.
static uint64_t find_short(ek_encoder *e, const ek_vocabulary *v, uint64_t key,
                           const uint8_t *piece, size_t length) {
  uint64_t found = lines_find(&e->shorts, key);
  if (found != 0) {
    if (found >> 62 != 0) lines_promote(&e->shorts, key);
    return found;
  }
  // A token that has given way to others.
  if (e->shorts.has_dropped && (found = lines_find(&v->shorts, key)) != 0) {
    lines_put(&e->shorts, key, found);
    return found;
  }
  int32_t id;
  if (!v->has_short_tokens || !find_token(v, key_of(piece, length), piece, length, &id)) return 0;
  return encoder_keep_short(e, key, &id, 1);
}

/// What the cache has of a longer piece, or NULL. `is_same` is set where it is of these bytes, and
/// not another of the same hashes.
static inline const value *find_cached(ek_encoder *e, key k, const uint8_t *piece, size_t length,
                                       bool *is_same) {
  const value *found = table_find(&e->cache, k, hash_of(k));
  if (found == NULL) return NULL;
  const uint8_t *kept = (const uint8_t *)(e->arena + found->word[0] - (length + 3) / 4);
  *is_same = length <= SHORT || (found->word[2] == length && memcmp(kept, piece, length) == 0);
  return found;
}

/// The value of a longer piece that was there before or is a token, or 0.
static uint64_t find_long(ek_encoder *e, const ek_vocabulary *v, key k, const uint8_t *piece,
                          size_t length) {
  bool is_same;
  const value *found = find_cached(e, k, piece, length, &is_same);
  if (found == NULL) {
    int32_t id;
    if (!find_token(v, k, piece, length, &id)) return 0;
    const value made = encoder_keep(e, k, piece, length, &id, 1);
    return value_of(&made);
  }
  if (!is_same) return 0;
  const uint64_t result = value_of(found), hash = hash_of(k);
  const value *values = first_bucket(&e->cache, hash)->values;
  if (found != &values[0] && found != &values[1]) table_promote(&e->cache, k, hash);
  return result;
}

/// Keeps what a piece merged to, if it has not been kept since it was looked up; returns its value,
/// or 0 where it can't be kept.
static uint64_t keep(ek_encoder *e, uint64_t short_key, key k, const uint8_t *piece, size_t length,
                     const int32_t *ids, size_t count) {
  if (short_key != 0) {
    const uint64_t found = lines_find(&e->shorts, short_key);
    return found != 0 ? found : encoder_keep_short(e, short_key, ids, count);
  }
  bool is_same;
  const value *found = find_cached(e, k, piece, length, &is_same);
  if (found != NULL) return is_same ? value_of(found) : 0;
  const value made = encoder_keep(e, k, piece, length, ids, count);
  return value_of(&made);
}

/// Finds, or merges and keeps, the first `missing` pieces of `e->missing` that are up to
/// EK_LONGEST_PIECE long, and sets their values; those of no value are left at 0.
__attribute__((noinline)) static void resolve(ek_encoder *e, const ek_vocabulary *v,
                                              const uint8_t *base, size_t missing) {
  for (size_t first = 0; first < missing; first += GROUP) {
    const size_t count = missing - first < GROUP ? missing - first : GROUP;
    const uint32_t *numbers = e->missing + first;
    const uint64_t *short_keys = e->missing_keys + first;
    const uint8_t *pieces[GROUP];
    size_t lengths[GROUP];
    key keys[GROUP];
    // What they wait for is on its way before the first of them is looked at.
    for (size_t i = 0; i < count; i++) {
      const uint32_t *edges = &e->edges[numbers[i]];
      pieces[i] = base + edges[0];
      lengths[i] = edges[1] - edges[0];
      if (e->values[numbers[i]] != 0) {
        __builtin_prefetch(e->arena + (uint32_t)e->values[numbers[i]]);
      } else if (short_keys[i] != 0) {
        __builtin_prefetch(second_line(&e->shorts, short_keys[i]));
      } else if (lengths[i] <= EK_LONGEST_PIECE) {
        keys[i] = key_of(pieces[i], lengths[i]);
        __builtin_prefetch(first_bucket(&e->cache, hash_of(keys[i])));
      }
    }
    uint8_t fresh[GROUP];
    size_t new_ones = 0;
    for (size_t i = 0; i < count; i++) {
      uint64_t *found = &e->values[numbers[i]];
      if (*found != 0 || lengths[i] > EK_LONGEST_PIECE) continue;
      *found = short_keys[i] != 0 ? find_short(e, v, short_keys[i], pieces[i], lengths[i])
                                  : find_long(e, v, keys[i], pieces[i], lengths[i]);
      fresh[new_ones] = (uint8_t)i;
      new_ones += *found == 0;
    }
    if (new_ones == 0) continue;
    merges *made = &e->made;
    merge_pieces(v, pieces, lengths, fresh, new_ones, made);
    for (size_t n = 0; n < new_ones; n++) {
      const size_t i = fresh[n];
      const key none = {0, 0};
      e->values[numbers[i]] = keep(e, short_keys[i], short_keys[i] != 0 ? none : keys[i], pieces[i],
                                   lengths[i], made->ids[n], made->counts[n]);
    }
  }
}

#endif
