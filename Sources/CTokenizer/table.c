// What changes a table of pieces, and the keys of pieces.
#include "table.h"
#include "memory.h"

bool table_make(table *t, size_t buckets) {
  t->buckets = cleared_memory(buckets * sizeof(bucket));
  t->mask = buckets - 1;
  t->pieces = 0;
  t->turn = 0;
  return t->buckets != NULL;
}

void table_free(table *t) {
  if (t->buckets != NULL) free_cleared(t->buckets, table_bytes(t));
  t->buckets = NULL;
}

/// Puts a piece in a free place; false where neither bucket has one.
static bool put(table *t, const entry *e) {
  uint64_t hash = hash_of(e->k);
  bucket *choices[2] = {first_bucket(t, hash), second_bucket(t, hash)};
  for (size_t i = 0; i < 4; i++) {
    bucket *b = choices[i >> 1];
    if (b->keys[i & 1].high != 0) continue;
    b->keys[i & 1] = e->k;
    b->values[i & 1] = e->v;
    t->pieces++;
    return true;
  }
  return false;
}

entry table_put(table *t, key k, value v, size_t moves) {
  entry e = {k, v};
  while (!put(t, &e)) {
    if (moves-- == 0) return e;
    // In place of one of either bucket, which goes on to its other bucket.
    uint64_t hash = hash_of(e.k);
    uint32_t turn = t->turn++;
    bucket *b = turn & 2 ? second_bucket(t, hash) : first_bucket(t, hash);
    entry moved = {b->keys[turn & 1], b->values[turn & 1]};
    b->keys[turn & 1] = e.k;
    b->values[turn & 1] = e.v;
    e = moved;
  }
  return (entry){{0, 0}, {{0}}};
}

void table_promote(table *t, key k, uint64_t hash) {
  bucket *first = first_bucket(t, hash), *from = second_bucket(t, hash);
  size_t way = equal(from->keys[1], k), given = t->turn++ & 1;
  if (first == from) return;
  key other = first->keys[given];
  uint64_t others = hash_of(other);
  bucket *to =
      first_bucket(t, others) != first ? first_bucket(t, others) : second_bucket(t, others);
  entry moved = {other, first->values[given]};
  size_t place = to->keys[0].high == 0 ? 0 : 1;
  if (to == from)
    place = way;
  else if (to == first || to->keys[place].high != 0)
    return;
  first->keys[given] = k;
  first->values[given] = from->values[way];
  from->keys[way] = (key){0, 0};
  to->keys[place] = moved.k;
  to->values[place] = moved.v;
}

bool table_grow(table *t, size_t times) {
  table larger;
  if (!table_make(&larger, (t->mask + 1) * times)) return false;
  entry dropped = {{0, 0}, {{0}}};
  for (size_t i = 0; i <= t->mask && dropped.k.high == 0; i++) {
    for (size_t way = 0; way < 2 && dropped.k.high == 0; way++) {
      if (t->buckets[i].keys[way].high == 0) continue;
      dropped = table_put(&larger, t->buckets[i].keys[way], t->buckets[i].values[way], MOST_MOVES);
    }
  }
  if (dropped.k.high != 0) {
    // Half full at most, this is next to impossible; the caller can do without.
    table_free(&larger);
    return false;
  }
  table_free(t);
  *t = larger;
  return true;
}

key key_of(const uint8_t *piece, size_t length) {
  key k = {0, 0};
  if (length <= SHORT) {
    memcpy(&k.low, piece, length < 8 ? length : 8);
    // The rest, by eight bytes that end where they do.
    if (length > 8) {
      memcpy(&k.high, piece + length - 8, 8);
      k.high >>= 8 * (16 - length);
    }
    k.high |= (uint64_t)length << 56;
    return k;
  }
  k.low = ek_piece_hash(piece, length);
  uint64_t other = length, word;
  for (size_t at = 0; at + 8 < length; at += 8) {
    memcpy(&word, piece + at, 8);
    other = ek_fold(other ^ word, 0x8EBC6AF09C88C6E3u);
  }
  memcpy(&word, piece + length - 8, 8);
  other = ek_fold(other ^ word, 0x8EBC6AF09C88C6E3u);
  // No short piece has this length.
  k.high = other | (uint64_t)255 << 56;
  return k;
}
