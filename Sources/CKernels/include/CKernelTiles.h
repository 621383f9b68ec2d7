// What the embedding layer's kernels work on: rows gathered, summed, rotated and normalised, biases
// by distance, and small products.
//
// Dimension letters: V vocabulary, B batch, T context, D dim, N = B*T tokens.
#ifndef EMBEDKERNEL_CKERNEL_TILES_H
#define EMBEDKERNEL_CKERNEL_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Says to Swift that a record may be handled, though its pointers may not be followed, unasked.
#if defined(__clang__)
#define EK_SAFE __attribute__((swift_attr("safe")))
#else
#define EK_SAFE
#endif

/// How an element is stored. Arithmetic is in fp32, rounded to nearest even once at the end.
typedef enum ek_element {
  EK_F32,
  EK_F16,   ///< IEEE binary16.
  EK_BF16,  ///< The upper half of an fp32.
} ek_element;

/// A loop over tokens: how many, and how far ids, output rows and positions move a step.
typedef struct ek_loop {
  size_t count;
  size_t tokens;     ///< Step in tokens: in `ids`, and in rows of `output`.
  size_t positions;  ///< Step in positions: in `position_ids` if given, else in rows.
} ek_loop;

/// A nest of two loops over tokens, visited outer then inner.
///
/// The caller chooses the order: sequence by sequence, or position by position with all sequences
/// inside, which keeps a position row in L1.
typedef struct EK_SAFE ek_embed_tile {
  const float *tokens;          ///< Token table (V, D).
  const float *positions;       ///< Position row of the first token; NULL adds none.
  const int32_t *position_ids;  ///< Rows of the position table; NULL: row = position.
  const void *ids;              ///< Checked ids, `id_bytes` wide.
  float *output;                ///< Output row of the first token.
  ek_loop outer, inner;
  size_t dim;
  size_t prefetch_rows;  ///< How many rows ahead to prefetch; 0 for data that is in cache.
  float scale;           ///< Multiplies the token row, rounded before the position is added.
  uint8_t id_bytes;      ///< 4 or 8.
  bool streaming;        ///< Write past the cache.
  bool near;             ///< Prefetch floats into L1, not L2.
} ek_embed_tile;

/// A loop over rows: how many, and how far tensors and cos/sin rows move a step, in elements.
typedef struct ek_rotary_loop {
  size_t count, elements, rows;
} ek_rotary_loop;

/// A nest of two loops over rows of which `pairs` pairs are rotated, visited outer then inner.
typedef struct ek_rotary_tile {
  const void *input;  ///< Elements of `type`.
  void *output;       ///< The same; disjoint from `input`, or the same address.
  ek_element type;
  const float *rows;  ///< Cosines of the first row; its sines are `sines` floats on.
  size_t sines;
  ek_rotary_loop outer, inner;
  size_t pairs;
  size_t partner;   ///< From a pair's first element to its second, if not neighbours.
  size_t rest_at;   ///< Where the elements begin that are not rotated but copied.
  size_t rest;      ///< How many they are.
  bool neighbours;  ///< Pairs are (2i, 2i+1) instead of (i, i+partner).
  bool inverse;     ///< Rotate by the negative angle.
  bool streaming;   ///< Write past the cache; every vector is then aligned to 64 bytes.
} ek_rotary_tile;

/// A sum of gathered rows, and optionally each of them passed on alone.
typedef struct EK_SAFE ek_row_sum {
  const float *rows;         ///< Row r is at `rows + r * stride`.
  const float *corrections;  ///< Laid out like `rows`; summed into the correction. NULL: none.
  const int32_t *indices;    ///< The rows, `count` of them; NULL: 0..<count.
  const float
      *factors;  ///< Multiply the rows first, one each; NULL: none. Not beside `destinations`.
  const int32_t *ahead;  ///< Rows to prefetch, one a row summed, `ahead_count` of them.
  const int32_t
      *destinations;          ///< For each row, the row of `passed` it goes to, or -1; NULL: none.
  const float *ahead_output;  ///< The output row of a call to come, to prefetch; NULL: none.
  float *passed;              ///< Where rows are passed on to.
  float *output;              ///< One row.
  float *correction_output;   ///< One row; NULL: the correction is added to the sum.
  size_t count;               ///< 1 or more.
  size_t index_step;          ///< How far apart indices are if evenly spaced, else 0; a hint.
  size_t ahead_count;
  size_t stride;         ///< Floats from row to row, of `passed` too.
  size_t width;          ///< Floats of a row.
  size_t leaf;           ///< Rows added left to right before leaves are added as a tree; the
                         ///< largest number for a sum left to right.
  float factor;          ///< Multiplies the sum, rounded before it is added to the output.
  float pass_factor;     ///< Multiplies a row passed on.
  bool compensated;      ///< Sum the rounding errors too, left to right; `leaf` is not used.
  bool accumulate;       ///< Add to the output instead of overwriting it.
  bool streaming;        ///< Write past the cache; rows are multiples of 64 bytes, aligned.
  bool pass_accumulate;  ///< The same for the rows passed on.
  bool pass_streaming;
  bool near;  ///< Prefetch into L1 instead of L2.
} ek_row_sum;

/// Sums of groups `begin..<end` of members, each to a row of its own.
typedef struct EK_SAFE ek_group_sum {
  ek_row_sum sum;          ///< What all have in common: of the first row of outputs and factors.
  const int32_t *members;  ///< The rows of the first group, then those of the second, and so on.
  const int32_t *offsets;  ///< Where each group's begin, and where the last one's end.
  const int32_t *row_ids;  ///< The output row of each group; NULL: its number.
  size_t begin, end;
  size_t ahead;           ///< How many members, and groups, ahead to prefetch; 0 for none.
  bool divides_by_count;  ///< Divide the factor by the number of members.
  bool skips_lone;        ///< Leave out groups of one member.
} ek_group_sum;

/// A tile of any element types: the pointers of `rows` address tables of `input` and an output of
/// `output`.
typedef struct ek_element_tile {
  ek_embed_tile rows;
  ek_element input, output;
} ek_element_tile;

/// What a normalisation divides by: the deviation from the mean, the root mean square, or nothing.
typedef enum ek_normalization {
  EK_NO_NORM,
  EK_LAYER_NORM,
  EK_RMS_NORM,
} ek_normalization;

/// Which elements dropout keeps: those whose Philox word is at least `threshold`.
///
/// Element i of output row n has word (i/16)%4 of block (n*groups + i/64)*16 + i%16, where a row
/// has `groups` = ceil(D/64) groups of 64 elements: 16 neighbours are 16 blocks, so that a vector
/// of blocks gives vectors of neighbours. No mask is stored.
typedef struct ek_dropout {
  uint64_t key;        ///< The seed.
  uint64_t stream;     ///< The upper half of the counter: which mask of that seed.
  uint32_t threshold;  ///< 2^32 times the dropped share; 0 keeps all.
  float scale;         ///< Multiplies what is kept.
} ek_dropout;

/// A tile whose rows are summed, normalised and dropped from:
///
///   x = scale * tokens[ids[n], :] + positions[place(n), :] + segments[segment_ids[n], :]
///   output[n, :] = dropout(gamma * (x - mean(x)) / deviation(x) + beta)
///
/// Row statistics are sums of 32 lanes in fp32: lane l adds elements l, l + 32, ... in order, then
/// lane l adds lane l + 16, l + 8, l + 4, l + 2, l + 1. Two passes: the mean, then the squares of
/// the differences from it. Every instruction set gives the same bits.
typedef struct ek_normalize_tile {
  ek_embed_tile rows;       ///< Without `ids`, `tokens` holds x of the first token, a row a token.
  const void *segments;     ///< Segment table of `input`; NULL adds none.
  const void *segment_ids;  ///< Of the first token, `rows.id_bytes` wide; NULL: all are 0.
  const float *gamma;       ///< (D); not read without normalisation.
  const float *beta;        ///< (D); NULL adds none.
  float epsilon;            ///< Added to the variance or mean square.
  ek_normalization kind;
  ek_dropout dropout;
  uint64_t first;            ///< The first token's index, for the mask.
  ek_element input, output;  ///< Of the tables, and of the output, as in ek_element_tile.
} ek_normalize_tile;

/// The backward of a tile: rows.output is where d(x) goes, floats, and parameter gradients
/// accumulate.
typedef struct ek_normalize_gradient_tile {
  ek_normalize_tile forward;
  const float *gradient;  ///< d(output) of the first token.
  float *gamma;           ///< (D), accumulates; NULL without normalisation.
  float *beta;            ///< (D), accumulates; NULL for none.
  float *segments;        ///< Like the segment table, accumulates; NULL for none.
} ek_normalize_gradient_tile;

/// A tile of attention logits and the table entries that stand along its diagonals.
///
/// Logit (r, j) belongs to entry table[j - r]: keys one after another, queries one after another.
typedef struct ek_distance_tile {
  void *logits;  ///< First logit, of type `element`.
  float *table;  ///< Entry of the first logit.
  size_t rows, columns;
  size_t stride;  ///< Logits from one row to the next.
  ptrdiff_t
      visible;  ///< Columns that row 0 sees, row r sees r more; columns or more: all, in all rows.
  bool overwrite;      ///< Write rather than add.
  ek_element element;  ///< How a logit is stored; table entries are floats.
} ek_distance_tile;

/// A tile of attention logits, rows of queries by columns of keys, and what is kept of each query.
typedef struct ek_attention_tile {
  float *logits;
  float *gradient;  ///< Backward: that of the probabilities, as the logits lie.
  size_t stride;    ///< Floats from one row to the next.
  size_t rows, columns;
  ptrdiff_t
      visible;   ///< Columns that row 0 sees, row r sees r more; columns or more: all, in all rows.
  float *most;   ///< (rows) The largest logit.
  float *sums;   ///< (rows) The sum of powers; once finished, 1 over it.
  float *means;  ///< (rows) Backward: the gradient's mean under the probabilities.
  float *output;  ///< Forward: sums of values by powers, (rows, dim).
  size_t output_stride, dim;
  bool is_first;  ///< Whether no tile of these queries came before.
} ek_attention_tile;

/// Vectors x (rows, D), table entries (entries, D) and their products (rows, entries).
typedef struct ek_product_tile {
  float *x;
  size_t x_stride, rows;
  float *table;
  size_t table_stride, entries;
  size_t dim;
  float *products;
  size_t stride;  ///< Floats from one row of products to the next.
  float scale;
} ek_product_tile;

#endif
