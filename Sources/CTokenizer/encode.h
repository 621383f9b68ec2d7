// From text to ids through a cache of pieces: for nearly every piece of a text a lookup is one
// cache line, a comparison of its four keys at once, and three ids written whether there are so
// many or not. Longer pieces, and those of more ids, are looked up one by one.
#ifndef EMBEDKERNEL_ENCODE_H
#define EMBEDKERNEL_ENCODE_H

#include "encoder.h"
#include "merge.h"
#include "piece_ends.h"

/// Writes the ids of a value, and up to seven words after them; returns how many ids there are.
static inline size_t copy(const ek_encoder *e, const value *v, int32_t *ids) {
  bool is_here = v->word[3] <= INLINE_IDS;
  const uint32_t *kept = is_here ? v->word : e->arena + v->word[0];
  size_t count = is_here ? v->word[3] : v->word[1];
  memcpy(ids, kept, 32);
  for (size_t i = 8; i < count; i += 8) memcpy(ids + i, kept + i, 32);
  return count;
}

/// The ids of a piece longer than short ones, up to EK_LONGEST_PIECE; returns how many.
static size_t long_piece(ek_encoder *e, const ek_vocabulary *v, const uint8_t *piece, size_t length,
                         int32_t *ids) {
  const key k = key_of(piece, length);
  const uint64_t hash = hash_of(k);
  const value *found = table_find(&e->cache, k, hash);
  if (found != NULL) {
    const uint8_t *kept = (const uint8_t *)(e->arena + found->word[0] - (length + 3) / 4);
    if (length <= SHORT || (found->word[2] == length && memcmp(kept, piece, length) == 0)) {
      size_t count = copy(e, found, ids);
      const value *values = first_bucket(&e->cache, hash)->values;
      if (found != &values[0] && found != &values[1]) table_promote(&e->cache, k, hash);
      return count;
    }
  }
  size_t count = find_token(v, k, piece, length, ids) ? 1 : merge_piece(v, piece, length, ids);
  // Two long pieces of the same hashes can't both be kept.
  if (found == NULL) encoder_keep(e, k, piece, length, ids, count);
  return count;
}

/// Three ids, whether the value has so many or not.
static inline void write_packed(uint64_t value, int32_t *ids) {
  typedef uint64_t wide __attribute__((vector_size(32)));
  typedef int32_t narrow __attribute__((vector_size(16)));
  const wide all = {value, value, value, value}, shifts = {0, ID_BITS, 2 * ID_BITS, 0};
  const narrow found =
      __builtin_convertvector(all >> shifts & (((uint64_t)1 << ID_BITS) - 1), narrow);
  memcpy(ids, &found, sizeof found);
}

/// The ids of any piece up to EK_LONGEST_PIECE that is not found at once; returns how many. `key`
/// is a short one's, or 0.
///
/// `found` is what its first line has of it.
__attribute__((noinline)) static size_t any_piece(ek_encoder *e, const ek_vocabulary *v,
                                                  uint64_t key, uint64_t found,
                                                  const uint8_t *piece, size_t length,
                                                  int32_t *ids) {
  if (key == 0) return long_piece(e, v, piece, length, ids);
  if (found == 0) {
    found = lines_find(&e->shorts, key);
    if (found >> 62 != 0) lines_promote(&e->shorts, key);
  }
  // A token that has given way to others.
  if (found == 0 && e->shorts.has_dropped) {
    found = lines_find(&v->shorts, key);
    if (found != 0) lines_put(&e->shorts, key, found);
  }
  if (found >> 62 != 0) {
    write_packed(found, ids);
    return found >> 62;
  }
  if (found != 0) {
    const size_t count = found >> 32;
    // No short piece has more.
    memcpy(ids, e->arena + (uint32_t)found, 32);
    return count;
  }
  const bool is_token =
      v->has_short_tokens && find_token(v, key_of(piece, length), piece, length, ids);
  size_t count = is_token ? 1 : merge_piece(v, piece, length, ids);
  encoder_keep_short(e, key, ids, count);
  return count;
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
  if (hit == 0) return 0;
  return l->values[__builtin_ctz(hit)];
}

static size_t encode(ek_encoder *e, const ek_vocabulary *v, const uint8_t *text, size_t *position,
                     size_t count, int32_t *ids, size_t room, bool *is_long) {
  size_t written = 0, at = *position;
  *is_long = false;
  while (at < count && room - written >= EK_LEAST_ROOM) {
    const uint8_t *base = text + at;
    size_t found = piece_ends(text, at, WINDOW, count, v->joins, e->ends);
    if (found == 0) {
      size_t end = ek_piece_end(text, at, count);
      if (end - at > EK_LONGEST_PIECE) {
        *is_long = true;
        break;
      }
      e->ends[0] = (uint32_t)(end - at);
      found = 1;
    }
    const size_t left = count - at;
    for (size_t first = 0; first < found; first += BATCH) {
      const uint32_t *ends = e->ends + first;
      const size_t pieces = found - first < BATCH ? found - first : BATCH;
      // All are on their way from memory before the first of them is looked at.
      prepare(e, base, ends, pieces, left);
      const char *lines = (const char *)e->shorts.lines;
      for (size_t i = 0; i < pieces; i++) {
        const uint64_t value = value_in((const line *)(lines + e->places[i]), e->keys[i]);
        if (__builtin_expect(value >> 62 != 0, 1)) {
          write_packed(value, ids + written);
          written += value >> 62;
        } else {
          const size_t start = ends[(ptrdiff_t)i - 1], length = ends[i] - start;
          if (length > EK_LONGEST_PIECE) {
            *position = at + start;
            *is_long = true;
            return written;
          }
          written += any_piece(e, v, e->keys[i], value, base + start, length, ids + written);
          if (lines != (const char *)e->shorts.lines) {
            // There are more of them now.
            lines = (const char *)e->shorts.lines;
            for (size_t j = i + 1; j < pieces; j++) e->places[j] = place_of(&e->shorts, e->keys[j]);
          }
        }
      }
    }
    at += e->ends[found - 1];
  }
  *position = at;
  return written;
}

#endif
