// A thread's cache of pieces, as encoding sees it.
#ifndef EMBEDKERNEL_ENCODER_H
#define EMBEDKERNEL_ENCODER_H

#include "vocabulary.h"

enum { WINDOW = 8192, BATCH = 64 };
/// The table grows by four from the first on, so it meets the most exactly.
enum { FIRST_BUCKETS = 1 << 10, MOST_BUCKETS = 1 << 16 };
enum { FIRST_ARENA = 1 << 13, MOST_ARENA = 1 << 20 };

/// A value ELSEWHERE has the place of its first id in the arena, after the piece's bytes if that is
/// long; how many ids; and the length of a long piece. That of a short piece has the place in its
/// lower half, and how many ids above it.
struct ek_encoder {
  lines shorts;
  table cache;
  uint32_t *arena;
  size_t used, room;
  /// 0, for where the first piece starts, is before them.
  uint32_t start;
  uint32_t ends[WINDOW + 136];
  /// Of a batch of pieces.
  _Alignas(64) uint64_t keys[BATCH];
  /// Where a piece's first line is, in bytes.
  uint32_t places[BATCH];
};

/// Keeps a piece and its ids: a short one by its key, others by theirs.
void encoder_keep_short(ek_encoder *e, uint64_t key, const int32_t *ids, size_t count);
void encoder_keep(ek_encoder *e, key k, const uint8_t *piece, size_t length, const int32_t *ids,
                  size_t count);

#endif
