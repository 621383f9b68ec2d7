// A thread's cache of pieces, as encoding sees it.
#ifndef EMBEDKERNEL_ENCODER_H
#define EMBEDKERNEL_ENCODER_H

#include "vocabulary.h"

enum { WINDOW = 4096, BATCH = 64 };
/// The table grows by four from the first on, so it meets the most exactly.
enum { FIRST_BUCKETS = 1 << 10, MOST_BUCKETS = 1 << 16 };
enum { FIRST_ARENA = 1 << 13, MOST_ARENA = 1 << 20 };

/// New pieces that are merged together, and what they come to.
enum { GROUP = 32 };
typedef struct merges {
  int32_t ids[GROUP][EK_LONGEST_PIECE];
  uint32_t counts[GROUP];
} merges;

/// A value ELSEWHERE has the place of its first id in the arena, after the piece's bytes if that is
/// long; how many ids; and the length of a long piece. That of a short piece has the place in its
/// lower half, and how many ids above it.
struct ek_encoder {
  lines shorts;
  table cache;
  uint32_t *arena;
  size_t used, room;
  /// How often the arena was emptied: values from before are of no use then.
  uint32_t resets;
  /// Where the first piece of a window starts, which is 0, and where each ends.
  uint32_t edges[1 + WINDOW + 136];
  /// Of a batch of pieces.
  _Alignas(64) uint64_t keys[BATCH];
  /// Where a piece's first line is, in bytes.
  uint32_t places[BATCH];
  /// Of the pieces of a window: their values, and the numbers and keys of those that are not found
  /// at once.
  uint64_t values[WINDOW + 136], missing_keys[WINDOW + 136];
  uint32_t missing[WINDOW + 136];
  merges made;
};

/// Keeps a piece that isn't there, and its ids: a short one by its key, others by theirs; returns
/// its value.
uint64_t encoder_keep_short(ek_encoder *e, uint64_t key, const int32_t *ids, size_t count);
value encoder_keep(ek_encoder *e, key k, const uint8_t *piece, size_t length, const int32_t *ids,
                   size_t count);

#endif
