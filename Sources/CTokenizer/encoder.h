// A thread's cache of pieces, as encoding sees it.
#ifndef EMBEDKERNEL_ENCODER_H
#define EMBEDKERNEL_ENCODER_H

#include "vocabulary.h"

enum { WINDOW = 8192, BATCH = 64 };
enum { FIRST_BUCKETS = 1 << 11, MOST_BUCKETS = 1 << 17 };
enum { FIRST_ARENA = 1 << 15, MOST_ARENA = 1 << 20 };

/// A value ELSEWHERE has the place of its first id in the arena, after the piece's bytes if that is
/// long; how many ids; and the length of a long piece.
struct ek_encoder {
  table cache;
  uint32_t *arena;
  size_t used, room;
  uint32_t ends[WINDOW + 136];
  /// Of a batch of pieces.
  key keys[BATCH];
  uint64_t hashes[BATCH];
};

/// Keeps a piece and its ids.
void encoder_keep(ek_encoder *e, key k, const uint8_t *piece, size_t length, const int32_t *ids,
                  size_t count);

#endif
