// The ids of a piece that no table has: its bytes merge, the neighbours of the lowest rank first,
// of equal ones the leftmost. All on the stack; longer pieces than these are Swift's.
#ifndef EMBEDKERNEL_MERGE_H
#define EMBEDKERNEL_MERGE_H

#include "encoder.h"

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
/// A piece of at most 16 bytes between two of its merges.
typedef struct parts16 {
  /// The ids of its parts; the ranks of their merges with the part after them, and what these make.
  _Alignas(64) uint32_t parts[16];
  int32_t ranks[16];
  uint32_t made[16];
  uint32_t length, at;
  /// The new part with the one before it, and with the one after it.
  uint64_t before, after;
} parts16;

static inline void begin_16(const ek_vocabulary *v, const uint8_t *piece, size_t length,
                            parts16 *p) {
  uint8_t bytes[32] = {0};
  for (size_t i = 0; i < length; i++) bytes[i] = piece[i];
  const __mmask16 all = (__mmask16)((1u << length) - 1), joints = all >> 1;
  const __m512i none = _mm512_set1_epi32(NONE);
  const __m512i left = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)bytes)),
                right = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(bytes + 1)));
  const __m512i both = _mm512_or_si512(_mm512_slli_epi32(left, 8), right);
  const int32_t *byte_pairs = (const int32_t *)v->byte_pairs;
  _mm512_store_si512(p->parts, _mm512_mask_i32gather_epi32(none, all, left, v->byte_ids, 4));
  _mm512_store_si512(p->ranks, _mm512_mask_i32gather_epi32(none, joints, both, byte_pairs, 8));
  _mm512_store_si512(p->made, _mm512_mask_i32gather_epi32(none, joints, both, byte_pairs + 1, 8));
  p->length = (uint32_t)length;
}

/// Joins two parts, and asks for what is known of the new one and its neighbours; false where no
/// rule joins any.
static inline bool join_16(const ek_vocabulary *v, parts16 *p) {
  const __m512i none = _mm512_set1_epi32(NONE);
  __m512i ranks = _mm512_load_si512(p->ranks), made = _mm512_load_si512(p->made);
  const int32_t rank = _mm512_reduce_min_epi32(ranks);
  if (rank == NONE) return false;
  const uint32_t at =
      (uint32_t)__builtin_ctz((uint32_t)_mm512_cmpeq_epi32_mask(ranks, _mm512_set1_epi32(rank)));
  const __mmask16 here = (__mmask16)(1u << at), kept = (__mmask16) ~(here << 1);
  __m512i parts = _mm512_mask_mov_epi32(_mm512_load_si512(p->parts), here, made);
  // What is taken out leaves the last lane to be none's.
  parts = _mm512_maskz_compress_epi32(kept, parts);
  ranks = _mm512_mask_compress_epi32(none, kept, ranks);
  made = _mm512_maskz_compress_epi32(kept, made);
  _mm512_store_si512(p->parts, parts);
  _mm512_store_si512(p->ranks, _mm512_mask_mov_epi32(ranks, here | here >> 1, none));
  _mm512_store_si512(p->made, made);
  p->length--;
  p->at = at;
  p->before = p->after = UINT64_MAX;
  if (at > 0) {
    p->before = (uint64_t)p->parts[at - 1] << 32 | p->parts[at];
    expect_pair(v, p->before);
  }
  if (at + 1 < p->length) {
    p->after = (uint64_t)p->parts[at] << 32 | p->parts[at + 1];
    expect_pair(v, p->after);
  }
  return true;
}

/// Looks up the new part's merges.
static inline void look_up_16(const ek_vocabulary *v, parts16 *p) {
  const ek_pair *pair;
  if (p->before != UINT64_MAX && (pair = find_key(v, p->before)) != NULL) {
    p->ranks[p->at - 1] = (int32_t)pair->rank;
    p->made[p->at - 1] = pair->id;
  }
  if (p->after != UINT64_MAX && (pair = find_key(v, p->after)) != NULL) {
    p->ranks[p->at] = (int32_t)pair->rank;
    p->made[p->at] = pair->id;
  }
}

static size_t merge_16(const ek_vocabulary *v, const uint8_t *piece, size_t length, int32_t *ids) {
  parts16 p;
  begin_16(v, piece, length, &p);
  while (join_16(v, &p)) look_up_16(v, &p);
  memcpy(ids, p.parts, p.length * sizeof *ids);
  return p.length;
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

/// Merges the pieces of the numbers `fresh`.
static void merge_pieces(const ek_vocabulary *v, const uint8_t *const *pieces,
                         const size_t *lengths, const uint8_t *fresh, size_t count, merges *made) {
#if defined(EK_TEXT_AVX512)
  // A merge of each in turn, so that they wait for memory together.
  parts16 all[GROUP];
  uint8_t left[GROUP];
  size_t active = 0;
  for (size_t n = 0; n < count; n++) {
    const size_t length = lengths[fresh[n]];
    if (length > 16) {
      made->counts[n] = (uint32_t)merge_piece(v, pieces[fresh[n]], length, made->ids[n]);
      continue;
    }
    begin_16(v, pieces[fresh[n]], length, &all[n]);
    left[active++] = (uint8_t)n;
  }
  while (active > 0) {
    size_t joined = 0;
    for (size_t i = 0; i < active; i++) {
      const uint8_t n = left[i];
      if (join_16(v, &all[n])) {
        left[joined++] = n;
        continue;
      }
      made->counts[n] = all[n].length;
      memcpy(made->ids[n], all[n].parts, sizeof all[n].parts);
    }
    active = joined;
    for (size_t i = 0; i < active; i++) look_up_16(v, &all[left[i]]);
  }
#else
  for (size_t n = 0; n < count; n++) {
    const size_t i = fresh[n];
    made->counts[n] = (uint32_t)merge_piece(v, pieces[i], lengths[i], made->ids[n]);
  }
#endif
}

#endif
