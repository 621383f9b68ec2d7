// Pieces of up to eight bytes, which most are: a cache line holds four, each its bytes as a number
// and its ids as another, so that a lookup is a comparison of one line, and its outcome three ids
// without a branch. A piece is in the line of its hash, or where that is full in a second one.
#ifndef EMBEDKERNEL_SHORTS_H
#define EMBEDKERNEL_SHORTS_H

#include "CTokenizer.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "a key has its length in the last byte of a little-endian number"
#endif

enum { WAYS = 4, SHORTEST_LONG = 9, PACKED_IDS = 3, ID_BITS = 20 };

typedef struct line {
  /// 0 where there is none.
  _Alignas(64) uint64_t keys[WAYS];
  uint64_t values[WAYS];
} line;

/// A power of two of lines; the hash's bits from `shift` on are a line's number.
typedef struct lines {
  line *lines;
  uint32_t shift;
  /// Which way is replaced next.
  uint32_t turn;
  size_t pieces;
  /// Whether one was ever put in place of another.
  bool has_dropped;
} lines;

bool lines_make(lines *t, size_t count);
void lines_free(lines *t);
/// Puts a piece that isn't there in one of its lines; false where both are full.
bool lines_add(lines *t, uint64_t key, uint64_t value);
/// The same, in place of another where both are full.
void lines_put(lines *t, uint64_t key, uint64_t value);
/// Twice the lines; false, and all as it was, where there is no memory for them.
bool lines_grow(lines *t);
/// Moves what is in its second line to its first, in exchange for another.
void lines_promote(lines *t, uint64_t key);
/// The value of a key that is not 0, or 0.
uint64_t lines_find(const lines *t, uint64_t key);

static inline size_t lines_count(const lines *t) { return (size_t)1 << (64 - t->shift); }
/// Whether more of them would stand in their second line too often.
static inline bool lines_are_full(const lines *t) { return t->pieces >= lines_count(t) * 2; }
static inline size_t lines_bytes(const lines *t) { return lines_count(t) * sizeof(line); }

/// What distinguishes a piece of fewer than eight bytes from longer ones, by its length: a last
/// byte that no character has.
static const uint64_t marks[16] = {
    0,
    (uint64_t)0xF9 << 56,
    (uint64_t)0xFA << 56,
    (uint64_t)0xFB << 56,
    (uint64_t)0xFC << 56,
    (uint64_t)0xFD << 56,
    (uint64_t)0xFE << 56,
    (uint64_t)0xFF << 56,
};

static const uint64_t LEAST_MARK = 0xF9;

/// The key of the piece of `length` bytes, at least 1, at the start of `word`; 0 for those longer
/// than eight. Eight bytes that end in what marks a shorter piece have no key either: they are
/// ill-formed, and rare.
static inline uint64_t short_key(uint64_t word, size_t length) {
  word &= ~(uint64_t)0 >> (-8 * length & 63);
  bool is_long = length >= SHORTEST_LONG || word >= LEAST_MARK << 56;
  return __builtin_unpredictable(is_long) ? 0 : word | marks[length & 15];
}

/// The same of bytes of which no more may be read.
static inline uint64_t key_of_short(const uint8_t *piece, size_t length) {
  uint64_t word = 0;
  memcpy(&word, piece, length < 8 ? length : 8);
  return short_key(word, length);
}

static const uint64_t LINE_FACTOR = 0x9E3779B97F4A7C15u;

/// Where a key's first line is, in bytes.
static inline uint32_t place_of(const lines *t, uint64_t key) {
  return (uint32_t)(key * LINE_FACTOR >> t->shift) * (uint32_t)sizeof(line);
}
static inline line *first_line(const lines *t, uint64_t key) {
  return (line *)((char *)t->lines + place_of(t, key));
}
static inline line *second_line(const lines *t, uint64_t key) {
  return &t->lines[ek_fold(key, 0xE7037ED1A0B428DBu) >> t->shift];
}

/// A value of up to three ids: how many in its upper two bits. One of none but not 0 is elsewhere.
static inline bool can_pack(const int32_t *ids, size_t count) {
  bool fits = count <= PACKED_IDS;
  for (size_t i = 0; i < count && fits; i++) fits = (uint32_t)ids[i] < (uint32_t)1 << ID_BITS;
  return fits;
}

static inline uint64_t pack(const int32_t *ids, size_t count) {
  uint64_t value = (uint64_t)count << 62;
  for (size_t i = 0; i < count; i++) value |= (uint64_t)(uint32_t)ids[i] << i * ID_BITS;
  return value;
}

#endif
