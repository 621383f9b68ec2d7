// GPT-2's text pattern, a character at a time:
//
//     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// for pieces of any length, and to hold `piece_ends.h` against.
#include "characters.h"

uint32_t ek_class(uint32_t point) { return class_of(point); }

size_t ek_character(const uint8_t *text, size_t position, size_t count, uint32_t *point) {
  return decode(text + position, count - position, point);
}

/// The end of the run of class `kind` from `at` on.
static size_t run_end(const uint8_t *text, size_t at, size_t count, uint32_t kind) {
  uint32_t point;
  while (at < count) {
    size_t length = decode(text + at, count - at, &point);
    if (length == 0 || class_of(point) != kind) break;
    at += length;
  }
  return at;
}

size_t ek_piece_end(const uint8_t *text, size_t start, size_t count) {
  uint32_t point;
  size_t length = decode(text + start, count - start, &point);
  if (length == 0) return ill_formed_end(text, start, count);
  if (point == '\'') {
    size_t whole = contraction(text + start, count - start);
    if (whole > 0) return start + whole;
  }
  uint32_t kind = class_of(point);
  size_t at = start + length;
  if (kind != EK_SPACE) return run_end(text, at, count, kind);
  if (point == ' ' && at < count) {
    size_t next = decode(text + at, count - at, &point);
    if (next > 0 && class_of(point) != EK_SPACE) {
      return run_end(text, at + next, count, class_of(point));
    }
  }
  // The last space of several is left to what follows, where something does.
  size_t last = start;
  while (at < count) {
    size_t next = decode(text + at, count - at, &point);
    if (next == 0) return at;
    if (class_of(point) != EK_SPACE) return last > start ? last : at;
    last = at;
    at += next;
  }
  return at;
}
