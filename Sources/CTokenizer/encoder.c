// Makes and grows a thread's cache of pieces. Where there is no room for a new piece it replaces
// another, and where the arena is full what stands in it is forgotten: the cache has a limit.
#include "encoder.h"
#include "memory.h"

#include <stdlib.h>

ek_encoder *ek_encoder_make(const ek_vocabulary *v) {
  ek_encoder *e = cleared_memory(sizeof *e);
  if (e == NULL) return NULL;
  e->room = FIRST_ARENA;
  e->arena = malloc(e->room * sizeof *e->arena);
  if (e->arena == NULL || !table_make(&e->cache, FIRST_BUCKETS) ||
      !lines_make(&e->shorts, lines_count(&v->shorts))) {
    ek_encoder_free(e);
    return NULL;
  }
  memcpy(e->shorts.lines, v->shorts.lines, lines_bytes(&v->shorts));
  e->shorts.pieces = v->shorts.pieces;
  return e;
}

void ek_encoder_free(ek_encoder *e) {
  if (e == NULL) return;
  lines_free(&e->shorts);
  table_free(&e->cache);
  free(e->arena);
  free_cleared(e, sizeof *e);
}

size_t ek_encoder_bytes(const ek_encoder *e) {
  return sizeof *e + lines_bytes(&e->shorts) + table_bytes(&e->cache) + e->room * sizeof *e->arena;
}

size_t ek_encoder_limit(void) {
  return sizeof(ek_encoder) + MOST_LINES * sizeof(line) + MOST_BUCKETS * sizeof(bucket) +
         MOST_ARENA * sizeof(uint32_t);
}

/// Room in the arena for `words`, forgetting all that stands there where there is none.
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
  memset(e->cache.buckets, 0, table_bytes(&e->cache));
  e->cache.pieces = 0;
  for (size_t i = 0; i < lines_count(&e->shorts) * WAYS; i++) {
    line *l = &e->shorts.lines[i / WAYS];
    if (l->values[i % WAYS] == 0 || l->values[i % WAYS] >> 62 != 0) continue;
    l->keys[i % WAYS] = l->values[i % WAYS] = 0;
    e->shorts.pieces--;
  }
  e->used = 0;
  e->resets++;
}

uint64_t encoder_keep_short(ek_encoder *e, uint64_t key, const int32_t *ids, size_t count) {
  uint64_t value;
  if (can_pack(ids, count)) {
    value = pack(ids, count);
  } else {
    // Eight are read.
    reserve(e, count + 8);
    memcpy(e->arena + e->used, ids, count * sizeof *ids);
    value = (uint64_t)count << 32 | e->used;
    e->used += count;
  }
  if (lines_are_full(&e->shorts) && lines_count(&e->shorts) < MOST_LINES) lines_grow(&e->shorts);
  lines_put(&e->shorts, key, value);
  return value;
}

value encoder_keep(ek_encoder *e, key k, const uint8_t *piece, size_t length, const int32_t *ids,
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
  return v;
}
