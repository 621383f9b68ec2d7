// Builds the tables of a vocabulary.
#include "vocabulary.h"

#include <stdlib.h>

ek_vocabulary *ek_vocabulary_make(const ek_pair *pairs, size_t slots, const uint32_t *byte_ids) {
  ek_vocabulary *v = calloc(1, sizeof *v);
  if (v == NULL) return NULL;
  size_t bits = slots * 4 < 64 ? 64 : slots * 4;
  v->pair_mask = slots - 1;
  v->filter_mask = bits - 1;
  v->pairs = malloc(slots * sizeof *pairs);
  v->filter = calloc(bits / 64, sizeof *v->filter);
  v->long_room = 4096;
  v->long_bytes = malloc(v->long_room);
  if (v->pairs == NULL || v->filter == NULL || v->long_bytes == NULL ||
      !table_make(&v->tokens, FIRST_TOKENS) || !lines_make(&v->shorts, FIRST_LINES)) {
    ek_vocabulary_free(v);
    return NULL;
  }
  memcpy(v->pairs, pairs, slots * sizeof *pairs);
  memcpy(v->byte_ids, byte_ids, sizeof v->byte_ids);
  for (size_t i = 0; i < slots; i++) {
    if (pairs[i].key == UINT64_MAX) continue;
    size_t bit = ek_pair_hash(pairs[i].key) >> 32 & v->filter_mask;
    v->filter[bit / 64] |= (uint64_t)1 << bit % 64;
  }
  for (size_t a = 0; a < 256; a++) {
    for (size_t b = 0; b < 256; b++) {
      const ek_pair *pair = find_pair(v, byte_ids[a], byte_ids[b]);
      v->byte_pairs[a][b] = pair ? (merge){(int32_t)pair->rank, pair->id} : (merge){INT32_MAX, 0};
    }
  }
  return v;
}

void ek_vocabulary_free(ek_vocabulary *v) {
  if (v == NULL) return;
  free(v->pairs);
  free(v->filter);
  table_free(&v->tokens);
  lines_free(&v->shorts);
  free(v->long_bytes);
  free(v);
}

size_t ek_vocabulary_bytes(const ek_vocabulary *v) {
  return sizeof *v + (v->pair_mask + 1) * sizeof(ek_pair) + (v->filter_mask + 1) / 8 +
         table_bytes(&v->tokens) + lines_bytes(&v->shorts) + v->long_room;
}

/// Puts a short token where encoders begin from; false where it has no room or form there.
static bool add_short(lines *t, uint64_t key, int32_t id) {
  if (key == 0 || !can_pack(&id, 1)) return false;
  if (lines_are_full(t) && lines_count(t) < MOST_LINES / 2 && !lines_grow(t)) return false;
  return !lines_are_full(t) && lines_add(t, key, pack(&id, 1));
}

bool ek_vocabulary_add(ek_vocabulary *v, const uint8_t *bytes, size_t length, uint32_t id,
                       bool is_whole) {
  for (size_t i = 0; i + 1 < length; i++) {
    v->joins[bytes[i] * 4 + (bytes[i + 1] >> 6)] |= (uint64_t)1 << (bytes[i + 1] & 63);
  }
  // Longer pieces are looked up by Swift.
  if (!is_whole || length > EK_LONGEST_PIECE) return true;
  const uint64_t short_one = key_of_short(bytes, length);
  // Of two tokens with the same bytes, or long ones with the same hashes, one would not be found.
  if (short_one != 0 && lines_find(&v->shorts, short_one) != 0) return false;
  if (add_short(&v->shorts, short_one, (int32_t)id)) return true;
  v->has_short_tokens |= short_one != 0;
  value added = {{id, 0, 0, 1}};
  if (length > SHORT) {
    if (v->long_used + length > v->long_room) {
      uint8_t *larger = realloc(v->long_bytes, v->long_room * 2);
      if (larger == NULL) return false;
      v->long_bytes = larger;
      v->long_room *= 2;
    }
    memcpy(v->long_bytes + v->long_used, bytes, length);
    added = (value){{id, (uint32_t)v->long_used, (uint32_t)length, ELSEWHERE}};
    v->long_used += length;
  }
  key k = key_of(bytes, length);
  if (table_find(&v->tokens, k, hash_of(k)) != NULL) return false;
  if (v->tokens.pieces * 5 > (v->tokens.mask + 1) * 8 && !table_grow(&v->tokens, 2)) return false;
  for (entry e = {k, added}; e.k.high != 0;) {
    e = table_put(&v->tokens, e.k, e.v, MOST_MOVES);
    if (e.k.high != 0 && !table_grow(&v->tokens, 2)) return false;
  }
  return true;
}

void ek_vocabulary_join_all(ek_vocabulary *v) { memset(v->joins, 0xFF, sizeof v->joins); }

uint64_t ek_vocabulary_pair(const ek_vocabulary *v, uint32_t left, uint32_t right) {
  const ek_pair *pair = find_pair(v, left, right);
  return pair ? (uint64_t)pair->rank << 32 | pair->id : UINT64_MAX;
}

const uint64_t *ek_vocabulary_joins(const ek_vocabulary *v) { return v->joins; }
