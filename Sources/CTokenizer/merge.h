// The ids of a piece that no table has: its bytes merge, the neighbours of the lowest rank first,
// of equal ones the leftmost. All on the stack; longer pieces than these are Swift's.
#ifndef EMBEDKERNEL_MERGE_H
#define EMBEDKERNEL_MERGE_H

#include "vocabulary.h"

enum { NONE = INT32_MAX };

/// The place of the first of the lowest of `count` ranks.
static inline size_t lowest(const int32_t *ranks, size_t count) {
  if (count <= 16) {
    size_t best = 0;
    int32_t rank = ranks[0];
    for (size_t i = 1; i < count; i++) {
      best = ranks[i] < rank ? i : best;
      rank = ranks[i] < rank ? ranks[i] : rank;
    }
    return best;
  }
  int32_t rank = NONE;
  for (size_t i = 0; i < count; i++) rank = ranks[i] < rank ? ranks[i] : rank;
  size_t best = 0;
  while (ranks[best] != rank) best++;
  return best;
}

#if defined(EK_TEXT_AVX512)
/// A piece of at most 16 bytes, whose parts stay in registers: a merge takes one part out of them.
static size_t merge_16(const ek_vocabulary *v, const uint8_t *piece, size_t length, int32_t *ids) {
  uint8_t bytes[32] = {0};
  for (size_t i = 0; i < length; i++) bytes[i] = piece[i];
  const __mmask16 all = (__mmask16)((1u << length) - 1), joints = all >> 1;
  const __m512i none = _mm512_set1_epi32(NONE);
  const __m512i left = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)bytes)),
                right = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(bytes + 1)));
  const __m512i both = _mm512_or_si512(_mm512_slli_epi32(left, 8), right);
  const int32_t *byte_pairs = (const int32_t *)v->byte_pairs;
  __m512i parts = _mm512_mask_i32gather_epi32(none, all, left, v->byte_ids, 4);
  __m512i ranks = _mm512_mask_i32gather_epi32(none, joints, both, byte_pairs, 8);
  __m512i made = _mm512_mask_i32gather_epi32(none, joints, both, byte_pairs + 1, 8);
  _Alignas(64) uint32_t found[16];
  while (true) {
    const int32_t rank = _mm512_reduce_min_epi32(ranks);
    if (rank == NONE) break;
    const uint32_t at =
        (uint32_t)__builtin_ctz((uint32_t)_mm512_cmpeq_epi32_mask(ranks, _mm512_set1_epi32(rank)));
    const __mmask16 here = (__mmask16)(1u << at), kept = (__mmask16) ~(here << 1);
    parts = _mm512_mask_mov_epi32(parts, here, made);
    length--;
    // What is taken out leaves the last lane to be none's.
    parts = _mm512_maskz_compress_epi32(kept, parts);
    ranks = _mm512_mask_compress_epi32(none, kept, ranks);
    made = _mm512_maskz_compress_epi32(kept, made);
    _mm512_store_si512(found, parts);
    ranks = _mm512_mask_mov_epi32(ranks, here, none);
    const ek_pair *pair;
    if (at + 1 < length && (pair = find_pair(v, found[at], found[at + 1])) != NULL) {
      ranks = _mm512_mask_set1_epi32(ranks, here, (int32_t)pair->rank);
      made = _mm512_mask_set1_epi32(made, here, (int32_t)pair->id);
    }
    if (at > 0) {
      const __mmask16 before = here >> 1;
      ranks = _mm512_mask_mov_epi32(ranks, before, none);
      if ((pair = find_pair(v, found[at - 1], found[at])) != NULL) {
        ranks = _mm512_mask_set1_epi32(ranks, before, (int32_t)pair->rank);
        made = _mm512_mask_set1_epi32(made, before, (int32_t)pair->id);
      }
    }
  }
  _mm512_mask_storeu_epi32(ids, (__mmask16)((1u << length) - 1), parts);
  return length;
}
#endif

static size_t merge_piece(const ek_vocabulary *v, const uint8_t *piece, size_t length,
                          int32_t *ids) {
#if defined(EK_TEXT_AVX512)
  if (length <= 16) return merge_16(v, piece, length, ids);
#endif
  // By the place of a part's first byte: its id, its merge with the part after it, and its
  // neighbours.
  uint32_t parts[EK_LONGEST_PIECE], made[EK_LONGEST_PIECE];
  int32_t ranks[EK_LONGEST_PIECE];
  uint16_t next[EK_LONGEST_PIECE], previous[EK_LONGEST_PIECE];
  for (size_t i = 0; i < length; i++) {
    parts[i] = v->byte_ids[piece[i]];
    next[i] = (uint16_t)(i + 1);
    previous[i] = (uint16_t)(i - 1);
    ranks[i] = NONE;
  }
  for (size_t i = 0; i + 1 < length; i++) {
    merge m = v->byte_pairs[piece[i]][piece[i + 1]];
    ranks[i] = m.rank;
    made[i] = m.id;
  }
  while (true) {
    size_t at = lowest(ranks, length);
    if (ranks[at] == NONE) break;
    size_t absorbed = next[at], after = next[absorbed];
    parts[at] = made[at];
    next[at] = (uint16_t)after;
    ranks[absorbed] = NONE;
    ranks[at] = NONE;
    if (after < length) {
      previous[after] = (uint16_t)at;
      const ek_pair *pair = find_pair(v, parts[at], parts[after]);
      if (pair != NULL) {
        ranks[at] = (int32_t)pair->rank;
        made[at] = pair->id;
      }
    }
    if (at > 0) {
      size_t before = previous[at];
      const ek_pair *pair = find_pair(v, parts[before], parts[at]);
      ranks[before] = pair != NULL ? (int32_t)pair->rank : NONE;
      if (pair != NULL) made[before] = pair->id;
    }
  }
  size_t count = 0;
  for (size_t i = 0; i < length; i = next[i]) ids[count++] = (int32_t)parts[i];
  return count;
}

#endif
