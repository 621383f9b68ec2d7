// What GPT-2's byte-pair encoding does for each byte of a text: pieces by SIMD, a cache of them,
// and the merging of those that are new. Nothing here takes a lock; an encoder is one thread's.
#ifndef EMBEDKERNEL_CTOKENIZER_H
#define EMBEDKERNEL_CTOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// The classes of GPT-2's pattern: `\p{L}`, `\p{N}`, `\s` and all else.
enum { EK_OTHER, EK_LETTER, EK_NUMBER, EK_SPACE };

/// The class of a code point up to U+10FFFF.
uint32_t ek_class(uint32_t point);

/// The character at `text[position]`, below `count`: its length in bytes, or 0 where the bytes are
/// ill-formed by table 3-7 of the Unicode standard. `point` is set where the length is not 0.
size_t ek_character(const uint8_t *text, size_t position, size_t count, uint32_t *point);

/// The end of the piece that starts at `start`, below `count`, by GPT-2's pattern.
///
/// A run of bytes of which none begins a well-formed character is a piece, and ends the text before
/// it as its end does.
size_t ek_piece_end(const uint8_t *text, size_t start, size_t count);

/// Ends of the pieces from `start` on, relative to it, as far as some `length` bytes go.
///
/// - `start`: Where a piece starts, below `count`.
/// - `length`: At least 1; a window of the text. A piece that goes on past it is not counted.
/// - `joins`: Bit `b` of byte `a` of 256 times 256 bits, set where some token holds `a` before `b`;
/// the
///   pieces are then cut also between non-ASCII characters that no token joins, which changes no
///   id. NULL for the pieces themselves.
/// - `ends`: Room for `length` + 136 of them.
///
/// Returns how many there are: 0 where the first piece is longer than the window.
size_t ek_piece_ends(const uint8_t *text, size_t start, size_t length, size_t count,
                     const uint64_t *joins, uint32_t *ends);

/// A rule: two neighbours become `id`; of several rules the one of the lowest rank comes first.
typedef struct ek_pair {
  /// The left id over the right one; all ones where the slot is free.
  uint64_t key;
  uint32_t rank;
  uint32_t id;
} ek_pair;

/// The tables of a vocabulary: immutable once it is complete, and any thread's.
typedef struct ek_vocabulary ek_vocabulary;

/// Tables without tokens, or NULL where there is no memory for them.
///
/// - `pairs`: The rules, in a table of `slots`, a power of two, by `ek_pair_hash`, which is copied.
/// - `byte_ids`: The id of each of 256 bytes; a byte without one is any number that no token has.
ek_vocabulary *ek_vocabulary_make(const ek_pair *pairs, size_t slots, const uint32_t *byte_ids);
void ek_vocabulary_free(ek_vocabulary *vocabulary);
size_t ek_vocabulary_bytes(const ek_vocabulary *vocabulary);

/// Tells of a token's bytes, at least 1: neighbours in them may be joined. `is_whole` is set where
/// a piece of these bytes becomes `id` at once. False where there is no memory for it.
bool ek_vocabulary_add(ek_vocabulary *vocabulary, const uint8_t *bytes, size_t length, uint32_t id,
                       bool is_whole);
/// Keeps pieces from being cut, for a vocabulary in which a whole piece may become a token that
/// merging doesn't lead to.
void ek_vocabulary_join_all(ek_vocabulary *vocabulary);

/// The merge of two neighbours: its rank over its id; or all ones.
uint64_t ek_vocabulary_pair(const ek_vocabulary *vocabulary, uint32_t left, uint32_t right);
/// What `ek_piece_ends` takes.
const uint64_t *ek_vocabulary_joins(const ek_vocabulary *vocabulary);

/// Words of the bits of joins.
enum { EK_JOIN_WORDS = 256 * 256 / 64 };
/// Longer pieces are not merged here, nor cached.
enum { EK_LONGEST_PIECE = 256 };
/// The least room for ids that `ek_encode` works with.
enum { EK_LEAST_ROOM = 8192 + EK_LONGEST_PIECE };

/// A thread's cache of pieces and their ids.
typedef struct ek_encoder ek_encoder;

/// A new encoder for texts of this vocabulary alone, or NULL where there is no memory for it. Its
/// cache begins with the vocabulary's short tokens, 1.4 MB for GPT-2's, and grows with the pieces
/// that it sees up to `ek_encoder_limit()` bytes; then new ones replace others.
ek_encoder *ek_encoder_make(const ek_vocabulary *vocabulary);
void ek_encoder_free(ek_encoder *encoder);
/// The bytes that an encoder has now.
size_t ek_encoder_bytes(const ek_encoder *encoder);
size_t ek_encoder_limit(void);

/// Writes the ids of the text from `*position` on to `ids`, and moves `*position`, which is where a
/// piece starts, past what it has encoded.
///
/// It ends at `count`, where fewer than EK_LEAST_ROOM of the `room` ids are left, or at a piece
/// longer than EK_LONGEST_PIECE, then with `*is_long` set. Returns the number of ids.
size_t ek_encode(ek_encoder *encoder, const ek_vocabulary *vocabulary, const uint8_t *text,
                 size_t *position, size_t count, int32_t *ids, size_t room, bool *is_long);

/// Writes the ids of one piece of at most EK_LONGEST_PIECE bytes by merging alone; returns how
/// many.
size_t ek_merge(const ek_vocabulary *vocabulary, const uint8_t *piece, size_t length, int32_t *ids);

/// Asks for large pages where `bytes` bytes at `at` are about to be written, which spares most
/// faults.
void ek_expect_writes(void *at, size_t bytes);

/// The instruction sets that encoding is compiled for, in rising order of preference; all give the
/// same.
typedef enum ek_text_set {
  EK_TEXT_BASE,    ///< Any machine: SSE2 on x86-64, NEON on AArch64.
  EK_TEXT_AVX2,    ///< With BMI2.
  EK_TEXT_AVX512,  ///< With VBMI2.
  EK_TEXT_SETS,
} ek_text_set;

/// One set's `ek_piece_ends`, `ek_encode` and `ek_merge`; these take the best set that the CPU has.
typedef struct ek_text_kernels {
  size_t (*piece_ends)(const uint8_t *text, size_t start, size_t length, size_t count,
                       const uint64_t *joins, uint32_t *ends);
  size_t (*encode)(ek_encoder *encoder, const ek_vocabulary *vocabulary, const uint8_t *text,
                   size_t *position, size_t count, int32_t *ids, size_t room, bool *is_long);
  size_t (*merge)(const ek_vocabulary *vocabulary, const uint8_t *piece, size_t length,
                  int32_t *ids);
} ek_text_kernels;

/// The kernels of `set`, or NULL where this build or this CPU lacks it.
const ek_text_kernels *ek_text_kernels_for(ek_text_set set);

static inline uint64_t ek_fold(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)(product >> 64) ^ (uint64_t)product;
}

/// The slot of a pair of ids before collisions.
static inline uint64_t ek_pair_hash(uint64_t key) { return ek_fold(key, 0x9E3779B97F4A7C15u); }

/// A hash of any number of bytes: 8-byte words folded through a 128-bit product, the last one
/// overlapping its neighbour so that no byte past the end is read. No bytes at all are read of
/// none.
static inline uint64_t ek_piece_hash(const uint8_t *text, size_t length) {
  const uint64_t first = 0x9E3779B97F4A7C15u, second = 0xD6E8FEB86659FD93u;
  uint64_t hash = (uint64_t)length * second, last = 0;
  if (length >= 8) {
    for (size_t offset = 0; offset + 8 < length; offset += 8) {
      uint64_t word;
      memcpy(&word, text + offset, 8);
      hash = ek_fold(hash ^ word, first);
    }
    memcpy(&last, text + length - 8, 8);
  } else if (length >= 4) {
    uint32_t low, high;
    memcpy(&low, text, 4);
    memcpy(&high, text + length - 4, 4);
    last = (uint64_t)high << 32 | low;
  } else if (length > 0) {
    last = (uint64_t)text[0] << 16 | (uint64_t)text[length >> 1] << 8 | text[length - 1];
  } else {
    return hash;
  }
  hash = ek_fold(hash ^ last ^ second, first);
  return hash ^ hash >> 32;
}

#endif
