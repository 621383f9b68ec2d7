// Whether ids are rows of a table: a pass over them without a branch, ahead of whatever is written.
//
// Bytes an id: its own, read in order.
#ifndef EMBEDKERNEL_IDS_H
#define EMBEDKERNEL_IDS_H

#include "vector.h"

enum {
  /// Read ahead by the loop itself: a CPU's prefetcher begins anew at each page.
  ids_ahead_bytes = 2048,
};

// The sign of `id | (last - id)` is set exactly for ids below 0 and past the last.
#define EK_DEFINE(name, integer, last_of_all)                                           \
  static bool name(const integer *ids, size_t count, size_t limit) {                    \
    typedef integer vector __attribute__((ext_vector_type(64 / sizeof(integer))));      \
    typedef vector unaligned __attribute__((aligned(sizeof(integer)), may_alias));      \
    enum { step = 64 / sizeof(integer) };                                               \
    const integer last = limit > (last_of_all) ? (last_of_all) : (integer)limit - 1;    \
    vector all = 0;                                                                     \
    size_t i = 0;                                                                       \
    for (; i + step <= count; i += step) {                                              \
      __builtin_prefetch((const void *)((uintptr_t)(ids + i) + ids_ahead_bytes), 0, 3); \
      const vector id = *(const unaligned *)(ids + i);                                  \
      all |= id | (last - id);                                                          \
    }                                                                                   \
    integer seen = __builtin_reduce_or(all);                                            \
    for (; i < count; i++) seen |= ids[i] | (last - ids[i]);                            \
    return seen <= (last_of_all);                                                       \
  }
EK_DEFINE(narrow_ids_below, uint32_t, INT32_MAX)
EK_DEFINE(wide_ids_below, uint64_t, INT64_MAX)
#undef EK_DEFINE

static bool ids_below(const void *ids, size_t count, size_t id_bytes, size_t limit) {
  return id_bytes == 4 ? narrow_ids_below(ids, count, limit) : wide_ids_below(ids, count, limit);
}

#endif
