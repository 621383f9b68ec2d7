// GPT-2's text pattern without a pattern engine, 64 bytes at once.
//
// Where pieces start can be told from the classes of a character and its neighbours: at a letter,
// number or other sign after another class, but for one blank before it, which is in its piece; at
// the first and the last of a run of spaces; and after a contraction. So 64 bytes are classified at
// once, and the starts are a few operations on 64 bits.
#ifndef EMBEDKERNEL_PIECE_ENDS_H
#define EMBEDKERNEL_PIECE_ENDS_H

#include "bitmap.h"
#include "characters.h"

#if defined(EK_TEXT_AVX512)
#include "characters_avx512.h"
#endif

/// What is known of the bytes before a block: bit 0 for the byte before, and for contractions that
/// go on in it, starts to set and to clear.
typedef struct carry {
  uint64_t letter, number, other, space, blank;
  uint64_t set, clear;
} carry;

/// The classes of a block's bytes, those of a character alike, and where its pieces may be cut.
typedef struct block {
  uint64_t letters, numbers, others, spaces, blanks, apostrophes;
  /// Spaces of two and of three bytes.
  uint64_t spaces2, spaces3;
  uint64_t cuts;
  /// The bytes of it that count, and whether the text is well-formed up to there only.
  size_t length;
  bool ends;
} block;

/// The same as `decode`, sooner for characters of three bytes.
static inline size_t decode_fast(const uint8_t *at, size_t left, uint32_t *point) {
  if (left >= 4) {
    uint32_t word;
    memcpy(&word, at, 4);
    if ((word & 0xC0C0F0) == 0x8080E0) {
      uint32_t value = (word & 0xF) << 12 | (word >> 2 & 0xFC0) | (word >> 16 & 0x3F);
      if (value >= 0x800 && (value & 0xF800) != 0xD800) {
        *point = value;
        return 3;
      }
    }
  }
  return decode(at, left, point);
}

/// Classifies the block at `at`, of which 64 bytes can be read and `left` are text; `before` is set
/// where the byte before it is the text's.
static inline block read_block(const uint8_t *at, size_t left, const uint64_t *joins, bool before) {
  bitmap map = classify(at);
  block b = {
      .letters = map.letters,
      .numbers = map.numbers,
      .spaces = map.spaces,
      .blanks = map.blanks,
      .apostrophes = map.apostrophes,
      .length = left < 64 ? left : 64,
      .ends = left < 64,
  };
  uint64_t high = map.high;
  if (b.length < 64) high &= ((uint64_t)1 << b.length) - 1;
#if defined(EK_TEXT_AVX512)
  wide_classes w;
  if (high && left >= 66 && read_wide(at, joins, before, &w)) {
    b.letters |= w.letters;
    b.numbers |= w.numbers;
    b.spaces |= w.spaces;
    b.spaces2 = w.spaces2;
    b.spaces3 = w.spaces3;
    b.cuts = w.cuts;
    b.length = w.length;
    high = 0;
  }
#endif
  if (high) {
    uint64_t low_plane = 0, high_plane = 0;
    while (high) {
      size_t i = (size_t)__builtin_ctzll(high);
      uint32_t point;
      size_t length = decode_fast(at + i, left - i, &point);
      if (i + length > 64) {
        // A character over the edge is the next block's.
        b.length = i;
        break;
      }
      if (length == 0) {
        b.length = i;
        b.ends = true;
        break;
      }
      uint32_t kind = class_of(point);
      uint64_t bytes = (((uint64_t)1 << length) - 1) << i;
      low_plane |= bytes & -(uint64_t)(kind & 1);
      high_plane |= bytes & -(uint64_t)(kind >> 1);
      if (kind == EK_SPACE) {
        if (length == 2) b.spaces2 |= bytes;
        if (length == 3) b.spaces3 |= bytes;
      }
      if (joins && (i > 0 || before)) {
        b.cuts |= (uint64_t)!joined(joins, at[(ptrdiff_t)i - 1], at[i]) << i;
      }
      high &= ~bytes;
    }
    b.letters |= low_plane & ~high_plane;
    b.numbers |= high_plane & ~low_plane;
    b.spaces |= low_plane & high_plane;
  }
  if (b.length < 64) {
    uint64_t valid = ((uint64_t)1 << b.length) - 1;
    b.letters &= valid;
    b.numbers &= valid;
    b.spaces &= valid;
    b.blanks &= valid;
    b.apostrophes &= valid;
    b.others = valid & ~(b.letters | b.numbers | b.spaces);
  } else {
    b.others = ~(b.letters | b.numbers | b.spaces);
  }
  return b;
}

/// Whether a character that is no space stands at `at`, of which `left` bytes are text.
static inline bool sign_follows(const uint8_t *at, size_t left) {
  uint32_t point;
  return left > 0 && decode(at, left, &point) > 0 && class_of(point) != EK_SPACE;
}

/// The starts of pieces in a block whose bytes are at `at`; `left` counts the text's from there on.
static inline uint64_t starts_of(const block *b, const uint8_t *at, size_t left, carry *c) {
  uint64_t after_blank = b->blanks << 1 | c->blank;
  uint64_t starts = b->letters & ~(b->letters << 1 | c->letter | after_blank);
  starts |= b->numbers & ~(b->numbers << 1 | c->number | after_blank);
  uint64_t others = b->others & ~(b->others << 1 | c->other | after_blank);
  starts |= others;
  uint64_t last = (uint64_t)1 << (b->length - 1);
  if (b->spaces) {
    starts |= b->spaces & ~(b->spaces << 1 | c->space);
    // The last byte of a run, where something follows it, and from it the space's first byte.
    uint64_t tails = b->spaces & ~(b->spaces >> 1);
    if (tails & last && !(!b->ends && sign_follows(at + b->length, left - b->length)))
      tails &= ~last;
    starts |= (tails & ~(b->spaces2 | b->spaces3)) | (tails & b->spaces2) >> 1 |
              (tails & b->spaces3) >> 2;
  }
  uint64_t set = c->set, clear = c->clear;
  c->set = c->clear = 0;
  for (uint64_t left_over = others & b->apostrophes; left_over; left_over &= left_over - 1) {
    size_t i = (size_t)__builtin_ctzll(left_over);
    size_t length = contraction(at + i, left - i);
    if (length == 0) continue;
    if (i + 1 < b->length)
      clear |= (uint64_t)1 << (i + 1);
    else
      c->clear |= 1;
    if (i + length < b->length)
      set |= (uint64_t)1 << (i + length);
    else
      c->set |= (uint64_t)1 << (i + length - b->length);
  }
  starts = (starts & ~clear) | set | b->cuts;
  if (b->length < 64) starts &= ((uint64_t)1 << b->length) - 1;
  c->letter = (b->letters & last) != 0;
  c->number = (b->numbers & last) != 0;
  c->other = (b->others & last) != 0;
  c->space = (b->spaces & last) != 0;
  c->blank = (b->blanks & last) != 0;
  return starts;
}

static size_t piece_ends(const uint8_t *text, size_t start, size_t length, size_t count,
                         const uint64_t *joins, uint32_t *ends) {
  const uint8_t *base = text + start;
  size_t total = count - start, found = 0, at = 0;
  carry c = {0};
  uint8_t edge[64 + 16];
  while (at < length && at < total) {
    size_t left = total - at;
    const uint8_t *bytes = base + at;
    if (left < 64) {
      // The last block, with room around it to read.
      memset(edge, 0, sizeof edge);
      if (at > 0) edge[15] = bytes[-1];
      memcpy(edge + 16, bytes, left);
      bytes = edge + 16;
    }
    block b = read_block(bytes, left, joins, at > 0);
    if (b.length > 0) {
      uint64_t starts = starts_of(&b, bytes, left, &c);
      if (at == 0) starts &= ~(uint64_t)1;
      found += places(starts, (uint32_t)at, ends + found);
      at += b.length;
    }
    if (b.ends) {
      if (at > 0) ends[found++] = (uint32_t)at;
      at += at < total ? ill_formed_end(base, at, total) - at : 0;
      // What follows begins a text, and so a piece; the text's end is one too.
      if (at == total && b.length < left) ends[found++] = (uint32_t)at;
      c = (carry){0};
    }
  }
  // A text whose length is a multiple of a block ends without a block that ends.
  if (at >= total && (found == 0 || ends[found - 1] != total)) ends[found++] = (uint32_t)total;
  return found;
}

#endif
