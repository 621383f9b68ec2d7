// The tables behind a vocabulary, as merging and the cache see them.
#ifndef EMBEDKERNEL_VOCABULARY_H
#define EMBEDKERNEL_VOCABULARY_H

#include "shorts.h"
#include "table.h"

enum { FIRST_LINES = 1 << 6, MOST_LINES = 1 << 16, FIRST_TOKENS = 1 << 6 };

/// A merge; its rank is INT32_MAX where there is none.
typedef struct merge {
  int32_t rank;
  uint32_t id;
} merge;

struct ek_vocabulary {
  ek_pair *pairs;
  size_t pair_mask;
  /// Bits of the pairs' hashes, for the many neighbours that no rule joins.
  uint64_t *filter;
  size_t filter_mask;
  uint32_t byte_ids[256];
  uint64_t joins[EK_JOIN_WORDS];
  /// The merges of two bytes.
  merge byte_pairs[256][256];
  /// Whole pieces that are short, as an encoder begins with.
  lines shorts;
  /// Those that are not, or that have no room or form there. Long ones stand with their id, where
  /// their bytes are, and how many.
  table tokens;
  bool has_short_tokens;
  uint8_t *long_bytes;
  size_t long_used, long_room;
};

/// The merge of two neighbours, the left id over the right one, or NULL.
static inline const ek_pair *find_key(const ek_vocabulary *v, uint64_t key) {
  uint64_t hash = ek_pair_hash(key), bit = hash >> 32 & v->filter_mask;
  if (!(v->filter[bit / 64] >> bit % 64 & 1)) return NULL;
  size_t slot = hash & v->pair_mask;
  while (v->pairs[slot].key != key) {
    if (v->pairs[slot].key == UINT64_MAX) return NULL;
    slot = (slot + 1) & v->pair_mask;
  }
  return &v->pairs[slot];
}

static inline const ek_pair *find_pair(const ek_vocabulary *v, uint32_t left, uint32_t right) {
  return find_key(v, (uint64_t)left << 32 | right);
}

/// Asks for what `find_key` will look at.
static inline void expect_pair(const ek_vocabulary *v, uint64_t key) {
  const uint64_t hash = ek_pair_hash(key);
  __builtin_prefetch(&v->filter[(hash >> 32 & v->filter_mask) / 64]);
  __builtin_prefetch(&v->pairs[hash & v->pair_mask]);
}

/// Whether the piece is a token at once; its id then. `k` is its key.
static inline bool find_token(const ek_vocabulary *v, key k, const uint8_t *piece, size_t length,
                              int32_t *id) {
  const value *found = table_find(&v->tokens, k, hash_of(k));
  if (found == NULL) return false;
  *id = (int32_t)found->word[0];
  return length <= SHORT ||
         (found->word[2] == length && memcmp(v->long_bytes + found->word[1], piece, length) == 0);
}

#endif
