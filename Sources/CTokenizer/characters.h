// UTF-8 and the classes of GPT-2's pattern, a character at a time.
#ifndef EMBEDKERNEL_CHARACTERS_H
#define EMBEDKERNEL_CHARACTERS_H

#include "CTokenizer.h"

#include "classes.inc"

static inline uint32_t class_of(uint32_t point) {
  if (point >= CLASS_END) return EK_OTHER;
  uint64_t word = class_blocks[class_index[point >> 7]][point >> 5 & 3];
  return word >> (point & 31) * 2 & 3;
}

static inline bool is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/// The character at `at`, of which `left` bytes are text (at least 1): its length, or 0 where it is
/// ill-formed: overlong, a surrogate, over U+10FFFF, or cut short.
static inline size_t decode(const uint8_t *at, size_t left, uint32_t *point) {
  uint32_t lead = at[0];
  if (lead < 0x80) {
    *point = lead;
    return 1;
  }
  if (lead < 0xC2 || lead > 0xF4) return 0;
  if (lead < 0xE0) {
    if (left < 2 || !is_continuation(at[1])) return 0;
    *point = (lead & 0x1F) << 6 | (at[1] & 0x3Fu);
    return 2;
  }
  if (lead < 0xF0) {
    if (left < 3 || !is_continuation(at[1]) || !is_continuation(at[2])) return 0;
    uint32_t value = (lead & 0xF) << 12 | (at[1] & 0x3Fu) << 6 | (at[2] & 0x3Fu);
    if (value < 0x800 || (value >= 0xD800 && value < 0xE000)) return 0;
    *point = value;
    return 3;
  }
  if (left < 4 || !is_continuation(at[1]) || !is_continuation(at[2]) || !is_continuation(at[3])) {
    return 0;
  }
  uint32_t value =
      (lead & 7) << 18 | (at[1] & 0x3Fu) << 12 | (at[2] & 0x3Fu) << 6 | (at[3] & 0x3Fu);
  if (value < 0x10000 || value > 0x10FFFF) return 0;
  *point = value;
  return 4;
}

/// The end of the run of bytes from `at` on of which none begins a character.
static inline size_t ill_formed_end(const uint8_t *text, size_t at, size_t count) {
  uint32_t point;
  while (at < count && decode(text + at, count - at, &point) == 0) at++;
  return at;
}

/// Whether some token holds the byte `a` before the byte `b`.
static inline bool joined(const uint64_t *joins, uint8_t a, uint8_t b) {
  return joins[a * 4 + (b >> 6)] >> (b & 63) & 1;
}

/// The length of the contraction at `at`, of which `left` bytes are text, after its apostrophe: 's,
/// 't, 'm, 'd, 'll, 've, 're; or 0.
static inline size_t contraction(const uint8_t *at, size_t left) {
  if (left < 2) return 0;
  uint8_t a = at[1];
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (left < 3) return 0;
  uint8_t b = at[2];
  return (a == 'l' && b == 'l') || ((a == 'v' || a == 'r') && b == 'e') ? 3 : 0;
}

#endif
