// What the kernels on bags work on: rows of a table pooled, and the gradient of their weights.
//
// V table rows, D dim, N ids in B bags one after another.
#ifndef EMBEDKERNEL_CKERNEL_BAGS_H
#define EMBEDKERNEL_CKERNEL_BAGS_H

#include "CKernelRows.h"

/// What becomes of a bag's rows.
typedef enum ek_pool {
  EK_POOL_SUM,   ///< ((0 + w0 * row0) + w1 * row1) + ..., each product and sum rounded.
  EK_POOL_MEAN,  ///< The sum divided by the number of rows.
  EK_POOL_MAX,   ///< By columns, `row > best ? row : best`, from the first row on.
} ek_pool;

/// How the ids fall into bags. Empty bags are allowed.
typedef enum ek_bag_form {
  EK_BAG_STARTS,   ///< Bag b starts at id numbers[b]; the last one ends with the ids.
  EK_BAG_LENGTHS,  ///< Bag b has numbers[b] ids.
  EK_BAG_EQUAL,    ///< Each has `length` ids.
} ek_bag_form;

typedef struct EK_SAFE ek_bags {
  const void *numbers;  ///< Checked, `number_bytes` wide.
  size_t count;         ///< B
  size_t ids;           ///< N
  size_t length;
  ek_bag_form form;
  uint8_t number_bytes;  ///< 4 or 8.
} ek_bags;

static inline size_t ek_bag_number(const ek_bags *bags, size_t bag) {
  return bags->number_bytes == 4 ? (size_t)((const uint32_t *)bags->numbers)[bag]
                                 : (size_t)((const uint64_t *)bags->numbers)[bag];
}

/// Where a bag ends that starts at id `start`.
static inline size_t ek_bag_end(const ek_bags *bags, size_t bag, size_t start) {
  switch (bags->form) {
    case EK_BAG_STARTS: return bag + 1 < bags->count ? ek_bag_number(bags, bag + 1) : bags->ids;
    case EK_BAG_LENGTHS: return start + ek_bag_number(bags, bag);
    case EK_BAG_EQUAL: return start + bags->length;
  }
}

/// Bags `first..<last`, and of rows and output the columns `column..<column + columns`.
typedef struct EK_SAFE ek_bag_tile {
  ek_rows table;
  size_t rows;           ///< V
  const void *ids;       ///< All ids, `id_bytes` wide.
  const float *weights;  ///< One an id; NULL: all are 1.
  ek_bags bags;
  size_t first, last;
  size_t start;    ///< Where the ids of bag `first` start.
  size_t longest;  ///< Bags with more ids are passed over.
  size_t column, columns;
  int64_t padding;   ///< An id that is left out; INT64_MIN: none.
  void *output;      ///< (B, D)
  int32_t *winners;  ///< Of a maximum, the index of the id whose row it is, or -1 (B, D); NULL:
                     ///< unwanted.
  const float *gradient;     ///< Of the output (B, D), for the weights' gradient.
  float *weight_gradient;    ///< One an id.
  size_t first_id, last_id;  ///< Of the weights' gradient: which ids.
  size_t prefetch_rows;      ///< How many ids ahead to prefetch; 0 for data that is in cache.
  ek_pool pool;
  ek_element output_type;
  uint8_t id_bytes;  ///< 4 or 8.
  bool is_checked;   ///< Every id is known to be in the table.
  bool clamps;       ///< An id outside the table reads the nearest row instead of a row of zeros.
  bool streaming;    ///< Write past the cache; floats.
} ek_bag_tile;

#endif
