// What changes a table of short pieces.
#include "shorts.h"
#include "memory.h"

bool lines_make(lines *t, size_t count) {
  t->lines = cleared_memory(count * sizeof(line));
  t->shift = 64 - (uint32_t)__builtin_ctzll(count);
  t->turn = 0;
  t->pieces = 0;
  t->has_dropped = false;
  return t->lines != NULL;
}

void lines_free(lines *t) {
  if (t->lines != NULL) free_cleared(t->lines, lines_bytes(t));
  t->lines = NULL;
}

static bool put_into(line *l, uint64_t key, uint64_t value) {
  for (size_t way = 0; way < WAYS; way++) {
    if (l->values[way] != 0) continue;
    l->keys[way] = key;
    l->values[way] = value;
    return true;
  }
  return false;
}

bool lines_add(lines *t, uint64_t key, uint64_t value) {
  bool is_put =
      put_into(first_line(t, key), key, value) || put_into(second_line(t, key), key, value);
  t->pieces += is_put;
  return is_put;
}

void lines_put(lines *t, uint64_t key, uint64_t value) {
  if (lines_add(t, key, value)) return;
  line *first = first_line(t, key);
  size_t way = t->turn++ % WAYS;
  first->keys[way] = key;
  first->values[way] = value;
  t->has_dropped = true;
}

bool lines_grow(lines *t) {
  lines larger;
  if (!lines_make(&larger, lines_count(t) * 2)) return false;
  for (size_t i = 0; i < lines_count(t); i++) {
    for (size_t way = 0; way < WAYS; way++) {
      if (t->lines[i].values[way] != 0)
        lines_put(&larger, t->lines[i].keys[way], t->lines[i].values[way]);
    }
  }
  larger.has_dropped |= t->has_dropped;
  lines_free(t);
  *t = larger;
  return true;
}

uint64_t lines_find(const lines *t, uint64_t key) {
  const line *choices[] = {first_line(t, key), second_line(t, key)};
  for (size_t i = 0; i < 2 * WAYS; i++) {
    const line *l = choices[i / WAYS];
    if (l->keys[i % WAYS] == key) return l->values[i % WAYS];
  }
  return 0;
}

/// The line of a key that this one is not.
static line *other_line(const lines *t, uint64_t key, const line *l) {
  return first_line(t, key) == l ? second_line(t, key) : first_line(t, key);
}

void lines_promote(lines *t, uint64_t key) {
  line *first = first_line(t, key), *from = second_line(t, key);
  size_t way = 0;
  while (way < WAYS && from->keys[way] != key) way++;
  if (way == WAYS || first == from) return;
  const uint64_t value = from->values[way];
  from->keys[way] = from->values[way] = 0;
  // One gives way for it that its other line has room for; there is one nearly always.
  for (size_t i = 0; i < WAYS; i++) {
    const size_t given = t->turn++ % WAYS;
    if (first->values[given] != 0 && !put_into(other_line(t, first->keys[given], first),
                                               first->keys[given], first->values[given]))
      continue;
    first->keys[given] = key;
    first->values[given] = value;
    return;
  }
  put_into(from, key, value);
}
