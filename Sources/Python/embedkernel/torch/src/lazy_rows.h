// Weights some of whose rows may be behind: those that an exact-lazy optimiser has not stepped yet.
// Every operator that reads a weight asks for its rows first, so that no caller sees a stale one,
// not a compiled graph either.
//
// A table is known by the address of its memory, as a weight reaches an operator under many names.
#ifndef EMBEDKERNEL_TORCH_LAZY_ROWS_H
#define EMBEDKERNEL_TORCH_LAZY_ROWS_H

#include <atomic>
#include <cstdint>

namespace embedkernel {

/// How many tables may have rows that are behind; look here before the two functions.
extern std::atomic<int64_t> lazy_tables;

/// Brings the rows of `count` ids of `id_width` bytes, 4 or 8, up to date; all rows where an id is
/// outside the table, which is for the caller to judge. Does nothing for any other weight.
void bring_up(const void *weight, const void *ids, int id_width, int64_t count);

/// Brings all rows of a weight up to date.
void bring_up_all(const void *weight);

}  // namespace embedkernel

#endif
