// Pieces by their bytes, for the cache of an encoder and for the tokens of a vocabulary. A bucket
// is a cache line of two pieces: each its bytes, with the length in the last of 16, and up to three
// ids. Longer pieces stand there under two hashes. A piece may be in either of two buckets.
#ifndef EMBEDKERNEL_TABLE_H
#define EMBEDKERNEL_TABLE_H

#include "CTokenizer.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a key has its length in the last byte of a little-endian number"
#endif

enum { SHORT = 15, INLINE_IDS = 3 };
/// In place of the number of ids: where the table's owner has the bytes or the ids.
enum { ELSEWHERE = 1 << 30 };
/// Moves that suffice for a table four fifths full.
enum { MOST_MOVES = 500 };

/// A piece; of zeros where there is none.
typedef struct key {
  uint64_t low, high;
} key;

/// Up to three ids and how many; or what the table's owner knows of the piece, and ELSEWHERE.
typedef struct value {
  uint32_t word[4];
} value;

typedef struct bucket {
  // Values first: what reads a few words past the second is still in the bucket.
  _Alignas(64) value values[2];
  key keys[2];
} bucket;

/// A power of two of buckets.
typedef struct table {
  bucket *buckets;
  size_t mask;
  size_t pieces;
  /// Which piece is moved next.
  uint32_t turn;
} table;

bool table_make(table *t, size_t buckets);
/// Gives its memory back.
void table_free(table *t);
static inline size_t table_bytes(const table *t) { return (t->mask + 1) * sizeof(bucket); }

/// Puts a piece that isn't there in one of its buckets, moving others to their second bucket for
/// it, at most `moves` times. Where that makes no place the last one moved is dropped, and
/// returned; else one of zeros.
typedef struct entry {
  key k;
  value v;
} entry;
entry table_put(table *t, key k, value v, size_t moves);
/// Moves a piece that is in its second bucket to its first, where another can give way for it.
void table_promote(table *t, key k, uint64_t hash);
/// So many times the buckets; false, and all as it was, where there is no memory for them.
bool table_grow(table *t, size_t times);

/// The key of a piece of any length.
key key_of(const uint8_t *piece, size_t length);

static inline uint64_t hash_of(key k) {
  return ek_fold(k.low ^ 0xA0761D6478BD642Fu, k.high ^ 0xE7037ED1A0B428DBu);
}

static inline bool equal(key a, key b) { return ((a.low ^ b.low) | (a.high ^ b.high)) == 0; }

static inline bucket *first_bucket(const table *t, uint64_t hash) {
  return &t->buckets[hash & t->mask];
}

static inline bucket *second_bucket(const table *t, uint64_t hash) {
  return &t->buckets[hash >> 40 & t->mask];
}

/// The value of a key, or NULL.
static inline const value *table_find(const table *t, key k, uint64_t hash) {
  const bucket *b = first_bucket(t, hash);
  if (equal(b->keys[0], k)) return &b->values[0];
  if (equal(b->keys[1], k)) return &b->values[1];
  b = second_bucket(t, hash);
  if (equal(b->keys[0], k)) return &b->values[0];
  if (equal(b->keys[1], k)) return &b->values[1];
  return NULL;
}

#endif
