// Makes and grows a thread's cache of pieces. Where there is no room for a new piece it replaces
// another, and where the arena is full the cache is emptied: its size has a limit.
#include "encoder.h"

#include <stdlib.h>

ek_encoder *ek_encoder_make(void) {
  ek_encoder *e = calloc(1, sizeof *e);
  if (e == NULL) return NULL;
  e->room = FIRST_ARENA;
  e->arena = malloc(e->room * sizeof *e->arena);
  if (e->arena == NULL || !table_make(&e->cache, FIRST_BUCKETS)) {
    ek_encoder_free(e);
    return NULL;
  }
  return e;
}

void ek_encoder_free(ek_encoder *e) {
  if (e == NULL) return;
  table_free(&e->cache);
  free(e->arena);
  free(e);
}

size_t ek_encoder_bytes(const ek_encoder *e) {
  return sizeof *e + table_bytes(&e->cache) + e->room * sizeof *e->arena;
}

size_t ek_encoder_limit(void) {
  table largest = {.mask = MOST_BUCKETS - 1};
  return sizeof(ek_encoder) + table_bytes(&largest) + MOST_ARENA * sizeof(uint32_t);
}

/// Room in the arena for `words`, emptying the cache where there is none.
static void reserve(ek_encoder *e, size_t words) {
  if (e->used + words <= e->room) return;
  if (e->room < MOST_ARENA) {
    uint32_t *larger = realloc(e->arena, e->room * 2 * sizeof *larger);
    if (larger != NULL) {
      e->arena = larger;
      e->room *= 2;
      return;
    }
  }
  memset(e->cache.buckets, 0, (e->cache.mask + 1) * sizeof(bucket));
  e->cache.pieces = 0;
  e->used = 0;
}

void encoder_keep(ek_encoder *e, key k, const uint8_t *piece, size_t length, const int32_t *ids,
                  size_t count) {
  value v = {{0}};
  if (length <= SHORT && count <= INLINE_IDS) {
    memcpy(v.word, ids, count * sizeof *ids);
    v.word[3] = (uint32_t)count;
  } else {
    size_t words = length <= SHORT ? 0 : (length + 3) / 4;
    // Ids are read eight at a time.
    reserve(e, words + count + 7);
    if (words > 0) memcpy(e->arena + e->used, piece, length);
    memcpy(e->arena + e->used + words, ids, count * sizeof *ids);
    v = (value){{(uint32_t)(e->used + words), (uint32_t)count, (uint32_t)length, ELSEWHERE}};
    e->used += words + count;
  }
  const size_t buckets = e->cache.mask + 1;
  // Half full at most, most pieces are in their first bucket, and what is used often moves there.
  if (e->cache.pieces > buckets && buckets < MOST_BUCKETS) table_grow(&e->cache, 4);
  table_put(&e->cache, k, v, 4);
}
