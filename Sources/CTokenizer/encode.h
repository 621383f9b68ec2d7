// From text to ids through a cache of pieces, a window of text at a time, in three passes:
//
// 1. Each piece is looked up where nearly all are found: one cache line, a comparison of its four
// keys.
// 2. Those that weren't found are looked up where else they may be, and new ones are merged. What
// they
//    wait for, far memory, is asked for a group of them at a time.
// 3. Ids are written: mostly three, whether there are so many or not.
#ifndef EMBEDKERNEL_ENCODE_H
#define EMBEDKERNEL_ENCODE_H

#include "encoder.h"
#include "merge.h"
#include "piece_ends.h"
#include "resolve.h"

/// Three ids, whether the value has so many or not.
static inline void write_packed(uint64_t value, int32_t *ids) {
  typedef uint64_t wide __attribute__((vector_size(32)));
  typedef int32_t narrow __attribute__((vector_size(16)));
  const wide all = {value, value, value, value}, shifts = {0, ID_BITS, 2 * ID_BITS, 0};
  const narrow found =
      __builtin_convertvector(all >> shifts & (((uint64_t)1 << ID_BITS) - 1), narrow);
  memcpy(ids, &found, sizeof found);
}

/// Writes the ids of a value that is in the arena, and up to seven words after them; returns how
/// many there are.
static inline size_t write_kept(const ek_encoder *e, uint64_t value, int32_t *ids) {
  const uint32_t *kept = e->arena + (uint32_t)value;
  const size_t count = value >> 32;
  memcpy(ids, kept, 32);
  for (size_t i = 8; i < count; i += 8) memcpy(ids + i, kept + i, 32);
  return count;
}

/// The ids of any piece up to EK_LONGEST_PIECE of which nothing is known; returns how many.
__attribute__((noinline)) static size_t any_piece(ek_encoder *e, const ek_vocabulary *v,
                                                  const uint8_t *piece, size_t length,
                                                  int32_t *ids) {
  const uint64_t key = key_of_short(piece, length);
  const uint64_t value = key != 0 ? find_short(e, v, key, piece, length)
                                  : find_long(e, v, key_of(piece, length), piece, length);
  if (value >> 62 != 0) {
    write_packed(value, ids);
    return value >> 62;
  }
  return value != 0 ? write_kept(e, value, ids) : merge_piece(v, piece, length, ids);
}

/// The keys of the `count` pieces that end at `ends`, each where the one before it ends, and where
/// their lines are.
static inline void prepare(ek_encoder *e, const uint8_t *base, const uint32_t *ends, size_t count,
                           size_t left) {
  const char *lines = (const char *)e->shorts.lines;
  if (ends[count - 1] + 8 > left) {
    for (size_t i = 0; i < count; i++) {
      const size_t start = ends[(ptrdiff_t)i - 1];
      e->keys[i] = key_of_short(base + start, ends[i] - start);
      e->places[i] = place_of(&e->shorts, e->keys[i]);
    }
    return;
  }
#if defined(EK_TEXT_AVX512)
  const __m512i tops = _mm512_loadu_si512(marks), eights = _mm512_set1_epi64(8),
                top = _mm512_set1_epi64((int64_t)(LEAST_MARK << 56)),
                factor = _mm512_set1_epi64((int64_t)LINE_FACTOR);
  const __m128i shift = _mm_cvtsi32_si128((int)e->shorts.shift);
  for (size_t i = 0; i < count; i += 8) {
    const __m256i starts = _mm256_loadu_si256((const __m256i *)(ends + i - 1));
    const __m256i lengths =
        _mm256_sub_epi32(_mm256_loadu_si256((const __m256i *)(ends + i)), starts);
    const __m512i length = _mm512_cvtepu32_epi64(lengths);
    // Places after the last piece's are not read.
    const __mmask8 lanes = count - i >= 8 ? 0xFF : (__mmask8)((1 << (count - i)) - 1);
    __m512i word = _mm512_mask_i32gather_epi64(_mm512_setzero_si512(), lanes, starts, base, 1);
    word = _mm512_and_si512(
        word, _mm512_srlv_epi64(_mm512_set1_epi64(-1),
                                _mm512_slli_epi64(_mm512_sub_epi64(eights, length), 3)));
    const __mmask8 is_short =
        _mm512_cmple_epu64_mask(length, eights) & _mm512_cmplt_epu64_mask(word, top);
    const __m512i key =
        _mm512_maskz_or_epi64(is_short, word, _mm512_permutexvar_epi64(length, tops));
    const __m512i place =
        _mm512_slli_epi64(_mm512_srl_epi64(_mm512_mullo_epi64(key, factor), shift), 6);
    _mm512_store_si512(e->keys + i, key);
    _mm256_store_si256((__m256i *)(e->places + i), _mm512_cvtepi64_epi32(place));
  }
  for (size_t i = 0; i < count; i++) __builtin_prefetch(lines + e->places[i]);
#else
  for (size_t i = 0; i < count; i++) {
    const size_t start = ends[(ptrdiff_t)i - 1];
    uint64_t word;
    memcpy(&word, base + start, sizeof word);
    e->keys[i] = short_key(word, ends[i] - start);
    e->places[i] = place_of(&e->shorts, e->keys[i]);
    __builtin_prefetch(lines + e->places[i]);
  }
#endif
}

/// The value of a key in a line, or 0.
static inline uint64_t value_in(const line *l, uint64_t key) {
#if defined(EK_TEXT_AVX512)
  const uint32_t hit = _mm256_cmpeq_epi64_mask(_mm256_load_si256((const __m256i *)l->keys),
                                               _mm256_set1_epi64x((int64_t)key));
#elif defined(EK_TEXT_AVX2)
  const uint32_t hit = (uint32_t)_mm256_movemask_pd((__m256d)_mm256_cmpeq_epi64(
      _mm256_load_si256((const __m256i *)l->keys), _mm256_set1_epi64x((int64_t)key)));
#else
  const uint32_t hit = (uint32_t)(l->keys[0] == key) | (uint32_t)(l->keys[1] == key) << 1 |
                       (uint32_t)(l->keys[2] == key) << 2 | (uint32_t)(l->keys[3] == key) << 3;
#endif
  // Which of them can't be foreseen, nor whether there is one.
  return l->values[__builtin_ctz(hit | 8)] & -(uint64_t)(hit != 0);
}

/// Looks up the `count` pieces that end at `e->edges`, of which `left` bytes at `base` are text;
/// returns how many of them are not found with up to three ids, and have their numbers and keys in
/// `e->missing`.
static inline size_t look_up(ek_encoder *e, const uint8_t *base, size_t count, size_t left) {
  const char *lines = (const char *)e->shorts.lines;
  size_t missing = 0;
  for (size_t first = 0; first < count; first += BATCH) {
    const size_t pieces = count - first < BATCH ? count - first : BATCH;
    // All are on their way from memory before the first of them is looked at.
    prepare(e, base, e->edges + 1 + first, pieces, left);
    for (size_t i = 0; i < pieces; i++) {
      const uint64_t value = value_in((const line *)(lines + e->places[i]), e->keys[i]);
      e->values[first + i] = value;
      e->missing[missing] = (uint32_t)(first + i);
      e->missing_keys[missing] = e->keys[i];
      missing += value >> 62 == 0;
    }
  }
  return missing;
}

static size_t encode(ek_encoder *e, const ek_vocabulary *v, const uint8_t *text, size_t *position,
                     size_t count, int32_t *ids, size_t room, bool *is_long) {
  size_t written = 0, at = *position;
  *is_long = false;
  while (at < count && room - written >= EK_LEAST_ROOM) {
    const uint8_t *base = text + at;
    size_t found = piece_ends(text, at, WINDOW, count, v->joins, e->edges + 1);
    if (found == 0) {
      size_t end = ek_piece_end(text, at, count);
      if (end - at > EK_LONGEST_PIECE) {
        *is_long = true;
        break;
      }
      e->edges[1] = (uint32_t)(end - at);
      found = 1;
    }
    const uint32_t resets = e->resets;
    const size_t missing = look_up(e, base, found, count - at);
    if (missing > 0) resolve(e, v, base, missing);
    for (size_t i = 0; i < found; i++) {
      const uint64_t value = e->values[i];
      if (__builtin_expect(value >> 62 != 0, 1)) {
        write_packed(value, ids + written);
        written += value >> 62;
        continue;
      }
      if (value != 0 && e->resets == resets) {
        written += write_kept(e, value, ids + written);
        continue;
      }
      const size_t start = e->edges[i], length = e->edges[i + 1] - start;
      if (length > EK_LONGEST_PIECE) {
        *position = at + start;
        *is_long = true;
        return written;
      }
      written += any_piece(e, v, base + start, length, ids + written);
    }
    at += e->edges[found];
  }
  *position = at;
  return written;
}

#endif
