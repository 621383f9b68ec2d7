// The ceilings and the hand-written loops that the library is held against:
// copies of the output, and gather-and-add loops in C for small and for large outputs.
// They share no code with the library, check no ids and know one case each, so they are fast.
// Letters: B batch, T context, D dim, V vocabulary. All arrays are C order, floats of 32 bits.

#ifndef C_REFERENCE_LOOPS_H
#define C_REFERENCE_LOOPS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// `output[b, t, :] = tokens[ids[b, t], :] + positions[t, :]`, with `tokens` (V, D),
/// `positions` (T, D), `ids` (B, T) in `0..<V` and unchecked, `output` (B, T, D).
typedef struct {
  const float *tokens;
  const float *positions;
  const int32_t *ids;
  float *output;
  size_t batch;
  size_t context;
  size_t dim;
} crl_embedding;

/// The loop for small outputs: plain C, vectorised by the compiler, in memory order.
void crl_embed_plain(const crl_embedding *work);

/// The loop for large outputs over positions `first..<last` of every sample: AVX-512, prefetching
/// the rows to come into the second-level cache, and writing past the caches. Where the CPU has
/// no AVX-512, the plain loop with prefetch.
void crl_embed_streaming(const crl_embedding *work, size_t first, size_t last);

/// Copies `count` floats by non-temporal stores, AVX-512 or AVX2; `memcpy` without either.
/// Neither pointer needs more than float alignment.
void crl_copy_streaming(float *destination, const float *source, size_t count);

/// Writes `count` floats by non-temporal stores where the CPU has AVX-512, else as the compiler
/// does.
void crl_fill_streaming(float *output, size_t count);

/// Copies `count` floats by the C library's `memcpy`.
void crl_copy_memcpy(float *destination, const float *source, size_t count);

/// The output gradient's way back: `gradient` (N, D), `tokens` = N.
typedef struct {
  const float *gradient;
  /// The tokens in the order of their ids: what `crl_gather_sorted` copies and `crl_sorted_add`
  /// adds.
  const int32_t *order;
  /// The ids in `0..<V`, unchecked: where `crl_index_add` adds.
  const int32_t *ids;
  /// (N, D) for the copy, (V, D) for the sum.
  float *output;
  size_t tokens;
  size_t dim;
  /// V.
  size_t rows;
} crl_backward;

/// `output[i, :] = gradient[order[i], :]` for `i` in `first..<last`, prefetched and past the
/// caches.
void crl_gather_sorted(const crl_backward *work, size_t first, size_t last);

/// `output[ids[n], :] += gradient[n, :]` for the ids in `first..<last`, one token after another,
/// prefetched.
void crl_index_add(const crl_backward *work, size_t first, size_t last);

/// `output[ids[n], :] += gradient[n, :]` for the tokens `n` of `order[first..<last]`, prefetched. A
/// part must not begin or end within the tokens of an id.
void crl_sorted_add(const crl_backward *work, size_t first, size_t last);

/// A batch's tokens grouped by table row, and a table to step by their gradients: rows (R), offsets
/// (R + 1), tokens (N), gradient (N, D); dims up to 4096. With moments the step is Adam's, else
/// SGD's.
typedef struct {
  float *table;
  float *first;
  float *second;
  const float *gradient;
  const int32_t *rows;
  const int32_t *offsets;
  const int32_t *tokens;
  size_t count;
  size_t dim;
  float rate;
} crl_step;

/// Sums and steps groups `first..<last`.
void crl_step_rows(const crl_step *work, size_t first, size_t last);

/// Sets how many rows ahead all loops prefetch, and whether into the first-level cache instead of
/// the second: what a search found. 0 rows are as many as each loop takes by itself.
void crl_set_prefetch(size_t rows, int near);

/// What the streaming loops run on here: "avx512", "avx2" or "plain".
const char *crl_instruction_set(void);

/// Threads that stay alive between calls; the caller's thread is one of them.
typedef struct crl_team crl_team;

/// Starts `threads - 1` workers, or returns NULL if they can't be started or `threads` is 0.
crl_team *crl_team_create(size_t threads);

/// Calls `body(context, part)` for each part in `0..<threads`, one a thread, and waits for all.
/// A worker spins for some tens of microseconds after its work, then sleeps.
void crl_team_run(crl_team *team, void (*body)(void *context, size_t part), void *context);

/// Stops the workers and frees the team. NULL is ignored.
void crl_team_destroy(crl_team *team);

/// Pairs of `heads` heads' vectors, each `context` rows of `head_dim`, rotated by their tokens'
/// rows of cosines and sines: (i, i + head_dim/2), or neighbours if `interleaved`. `output` is
/// `input` or apart from it.
typedef struct {
  const float *input;
  const float *rows;
  float *output;
  size_t heads;
  size_t context;
  size_t head_dim;
  int interleaved;
} crl_rotation;

/// The rotation by a plain loop, heads split evenly over the team of `threads`.
void crl_rotate_team(crl_team *team, size_t threads, const crl_rotation *work);

/// `crl_embed_streaming` over all positions, which are split evenly over the team.
void crl_embed_streaming_team(crl_team *team, const crl_embedding *work);

/// `crl_copy_streaming`, split evenly over the team.
void crl_copy_streaming_team(crl_team *team, float *destination, const float *source, size_t count);

/// `crl_fill_streaming`, split evenly over the team.
void crl_fill_streaming_team(crl_team *team, float *output, size_t count);

/// `memcpy`, split evenly over the team.
void crl_copy_memcpy_team(crl_team *team, float *destination, const float *source, size_t count);

/// `crl_gather_sorted` over all tokens, which are split evenly over the team.
void crl_gather_sorted_team(crl_team *team, const crl_backward *work);

/// `crl_sorted_add` over all tokens, which are split over the team where ids change.
void crl_sorted_add_team(crl_team *team, const crl_backward *work);

/// `crl_index_add` over all rows, which are split evenly over the team.
void crl_index_add_team(crl_team *team, const crl_backward *work);

/// `y[i] += x[i]`.
void crl_add(float *y, const float *x, size_t count);

/// `crl_add`, split evenly over the team of `threads`.
void crl_add_team(crl_team *team, size_t threads, float *y, const float *x, size_t count);

/// The same on bfloat16: widened, added as floats, rounded to nearest even. Numbers must be finite.
void crl_add_bf16(uint16_t *y, const uint16_t *x, size_t count);
void crl_add_bf16_team(crl_team *team, size_t threads, uint16_t *y, const uint16_t *x,
                       size_t count);

/// Random rows to be read: `count` of them, `row_bytes` long, a multiple of 64 bytes apart.
typedef struct {
  const char *rows;
  const int64_t *ids;
  size_t count;
  size_t row_bytes;
  /// How many rows ahead to prefetch.
  size_t ahead;
  /// Where each row is copied past the caches, aligned to 64 bytes; or NULL for nowhere.
  char *output;
} crl_row_reading;

/// Reads rows `ids[first..<last]`; the sum of all their floats, so that nothing is left out.
float crl_read_rows(const crl_row_reading *work, size_t first, size_t last);

/// The same of all rows, which are split evenly over the team of `threads`.
void crl_read_rows_team(crl_team *team, size_t threads, const crl_row_reading *work);

/// `crl_step_rows` over all groups, which are split over the team by their tokens.
void crl_step_rows_team(crl_team *team, const crl_step *work);

#ifdef __cplusplus
}
#endif

#endif
