/*
 * EmbedKernel for C (C11 or later) and C++ (C++17 or later): the input-embedding layer of language
 * models on memory of yours. Link `libembedkernel`; `pkg-config embedkernel` and CMake's
 * `find_package(EmbedKernel)` say how.
 *
 *   float output[2 * 3 * 4];
 *   int64_t ids[2 * 3] = {0, 1, 2, 2, 1, 0};
 *   if (ek_embed(ids, EK_DTYPE_INT64, 2, 3, tokens, EK_DTYPE_FLOAT32, 3, 4, positions, 3, output,
 *                EK_DTYPE_FLOAT32, NULL) != EK_OK)
 *     fprintf(stderr, "%s\n", ek_last_error()->message);
 *
 * Letters: B batch, T context, N = B*T tokens, V vocabulary, D dim. Arrays are dense and row-major.
 * Sizes and indices are 64-bit and signed; a negative one is an error, never a wrap-around.
 *
 * Errors. Functions return EK_OK, or a code other than 0 after which `ek_last_error()` tells the
 * facts on the same thread. Where a function fails it has written nothing to the caller's arrays,
 * except where it says so. NULL for an array that has elements, an address that its element type's
 * alignment does not divide, sizes whose product overflows, an output that overlaps an input, and a
 * handle that is NULL, of another kind, or destroyed are all errors; no argument makes the library
 * abort. It cannot see how long your arrays are: they must have the shapes that are said.
 *
 * Handles (`ek_table *` and the like) are names, not addresses: a destroyed one is known as such.
 * Whoever creates a handle destroys it; things that are built of others keep them alive, so the
 * order of destruction does not matter. `ek_..._destroy(NULL)` does nothing.
 *
 * Threads. Every function may be called from any thread. Calls on memory alone run side by side;
 * calls on one handle wait for each other where the handle changes. Results are bit for bit the
 * same for every number of threads. After `fork()` a child may go on using everything but the
 * handles that another thread was changing at that moment; its helper threads are its own.
 *
 * Options. A struct of options starts from its `..._INIT` macro, which fills in `struct_size`, so
 * that a library can tell which fields a program knows; NULL stands for all defaults. Fields called
 * `reserved` must be 0.
 */
#ifndef EMBEDKERNEL_H
#define EMBEDKERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------
 * The library
 * --------------------------------------------------------------------------------------------- */

/** The version of the binary interface that this header describes, and the number in the shared
 * library's name. It rises when something changes its meaning or goes; additions leave it. */
#define EK_ABI_VERSION 1

/** The binary interface's version of the library in use: `EK_ABI_VERSION` of the header that
 * belongs to it. */
int32_t ek_abi_version(void);

/** The library's semantic version, such as "0.1.0". Lives as long as the process. */
const char *ek_version(void);

/** The CPUs that this process may use. */
int32_t ek_cpu_count(void);

/** Sets how many threads calls take part with at most that name no number themselves, for the whole
 *  process; 0, the default, for as many as a call gains from, at most the CPUs there are.
 *  Errors: EK_ERROR_INVALID_SIZE for a negative number. */
int32_t ek_set_threads(int32_t threads);

/** The number that `ek_set_threads` set; 0 for none. */
int32_t ek_threads(void);

/** Writes a text of some lines about the machine and the library: version, CPU, instruction set,
 * and whether OpenBLAS could be opened.
 *
 *  \param text      Room for `capacity` bytes, the closing 0 included; NULL with 0 to ask for the
 * length.
 *  \param length    The text's bytes without the closing 0; may be NULL.
 *  Errors: EK_ERROR_BUFFER_TOO_SMALL, with `length` set. */
int32_t ek_describe(char *text, size_t capacity, size_t *length);

/* ------------------------------------------------------------------------------------------------
 * Errors
 * --------------------------------------------------------------------------------------------- */

/** What a function returns. Codes keep their numbers. */
enum {
  EK_OK = 0,

  /* Of this interface. */
  /** A pointer is NULL or misaligned; `argument` names it. */
  EK_ERROR_INVALID_POINTER = 1,
  /** A handle is NULL, destroyed or of another kind; `argument` names it. */
  EK_ERROR_INVALID_HANDLE = 2,
  /** A struct's `struct_size` or an enumeration's number is not known; `argument` names the field,
   *  `value` is what it holds. */
  EK_ERROR_INVALID_OPTION = 3,
  /** A text or array of the caller's has `bound` places, and `value` are needed. */
  EK_ERROR_BUFFER_TOO_SMALL = 4,
  /** The library itself failed; please report the message. */
  EK_ERROR_INTERNAL = 5,

  /* Of ids and positions: `row`, `position`, `value` and `bound` (the first number outside) are
     set. */
  EK_ERROR_TOKEN_OUT_OF_RANGE = 10,
  EK_ERROR_SEGMENT_OUT_OF_RANGE = 11,
  EK_ERROR_POSITION_OUT_OF_RANGE = 12,
  /** A sequence from position `position` on, `value` tokens long, needs more than `bound`
     positions. */
  EK_ERROR_CONTEXT_TOO_LONG = 13,
  /** Document `row` of a packed batch has `value` tokens, more than `bound`. */
  EK_ERROR_DOCUMENT_TOO_LONG = 14,
  /** Entry `position` of the cumulative lengths is `value`. */
  EK_ERROR_INVALID_CUMULATIVE_LENGTH = 15,
  /** A distance of a query to a key, `value`, is past `bound`. */
  EK_ERROR_DISTANCE_OUT_OF_RANGE = 16,
  EK_ERROR_UNPAIRED_DOCUMENTS = 17,

  /* Of sizes and numbers: `argument` and `value` or `number` are set. */
  EK_ERROR_WRONG_ELEMENT_COUNT = 20,
  EK_ERROR_INVALID_SIZE = 21,
  EK_ERROR_INVALID_VALUE = 22,
  EK_ERROR_SIZE_OVERFLOW = 23,
  EK_ERROR_OVERLAPPING_MEMORY = 24,
  EK_ERROR_UNSUPPORTED = 25,
  /** A field of a model's configuration, `argument`. */
  EK_ERROR_INVALID_FIELD = 26,
  /** A batch, tensor or index is outside `0..<bound`. */
  EK_ERROR_INDEX_OUT_OF_RANGE = 27,

  /* Of the machine. */
  EK_ERROR_OUT_OF_MEMORY = 30,
  EK_ERROR_INVALID_ENVIRONMENT = 31,
  EK_ERROR_UNAVAILABLE_INSTRUCTION_SET = 32,
  /** OpenBLAS or LAPACKE is missing where a product needs it. */
  EK_ERROR_UNAVAILABLE_LIBRARY = 33,
  EK_ERROR_FACTORISATION_FAILED = 34,

  /* Of files: `path` is set. */
  EK_ERROR_FILE_NOT_FOUND = 40,
  /** The system refused; `system_code` is its `errno`. */
  EK_ERROR_FILE_SYSTEM = 41,
  /** What the file holds breaks its format. */
  EK_ERROR_FILE_FORMAT = 42,
  /** The file has no tensor or array of the name `argument`. */
  EK_ERROR_MISSING_TENSOR = 43,
  /** A tensor is of another element type than was asked for, or of one that is not known. */
  EK_ERROR_ELEMENT_TYPE = 44,
  /** A tensor has another shape than was asked for. */
  EK_ERROR_SHAPE = 45,
  /** A model's file could not be read as an input embedding. */
  EK_ERROR_MODEL = 46,

  /* Of text and tokens. */
  EK_ERROR_TEXT = 50,
  EK_ERROR_UNKNOWN_TOKEN = 51,
  EK_ERROR_SPECIAL_TOKEN = 52
};

/** Stands for a fact that an error does not have. */
#define EK_NONE INT64_MIN

/** The facts of an error. */
typedef struct ek_error {
  /** One of EK_ERROR_..., or EK_OK where no call of this thread has failed yet. */
  int32_t code;
  /** The system's `errno`, or 0. */
  int32_t system_code;
  /** Swift's name of the error, such as "tokenOutOfRange"; "" for none. */
  const char *kind;
  /** A sentence with all the facts. */
  const char *message;
  /** The argument, field, tensor or variable; "" for none. */
  const char *argument;
  /** The file; "" for none. */
  const char *path;
  /** The batch row or document, or EK_NONE. */
  int64_t row;
  /** The place in that row, or EK_NONE. */
  int64_t position;
  /** The offending id, size or count, or EK_NONE. */
  int64_t value;
  /** The first number that is too large, the count expected or the limit, or EK_NONE. */
  int64_t bound;
  /** The offending number where it is no integer; NaN for none. */
  double number;
} ek_error;

/** The error of this thread's last call that failed; never NULL. Valid until the next call of this
 *  thread that fails, or its end. A call that succeeds leaves it as it is. */
const ek_error *ek_last_error(void);

/** Forgets this thread's error. */
void ek_clear_error(void);

/** The name of a code, such as "EK_ERROR_TOKEN_OUT_OF_RANGE"; "EK_ERROR_UNKNOWN" for a number that
 * is none. Lives as long as the process. */
const char *ek_error_name(int32_t code);

/* ------------------------------------------------------------------------------------------------
 * Elements
 * --------------------------------------------------------------------------------------------- */

/** Element types. Tables and outputs are of the first three, ids of INT32 or INT64; the others
 * occur in files. Numbers stay as they are. */
enum {
  EK_DTYPE_FLOAT32 = 0,
  EK_DTYPE_FLOAT16 = 1,
  EK_DTYPE_BFLOAT16 = 2,
  EK_DTYPE_FLOAT64 = 3,
  EK_DTYPE_INT8 = 4,
  EK_DTYPE_INT16 = 5,
  EK_DTYPE_INT32 = 6,
  EK_DTYPE_INT64 = 7,
  EK_DTYPE_UINT8 = 8,
  EK_DTYPE_UINT16 = 9,
  EK_DTYPE_UINT32 = 10,
  EK_DTYPE_UINT64 = 11,
  EK_DTYPE_BOOL = 12,
  /** In files: a type that this library knows no number for; its name is told. */
  EK_DTYPE_OTHER = 100
};

/** The bytes of an element; 0 for a type that is not known. */
size_t ek_dtype_size(int32_t dtype);

/** Converts `count` elements between FLOAT32, FLOAT16 and BFLOAT16, rounding to nearest even.
 *  Errors: pointers, EK_ERROR_INVALID_SIZE, EK_ERROR_OVERLAPPING_MEMORY. Allocates nothing. */
int32_t ek_convert(const void *input, int32_t input_dtype, void *output, int32_t output_dtype,
                   int64_t count);

/* ------------------------------------------------------------------------------------------------
 * Buffers for outputs
 *
 * A fresh output of 32 MiB costs nine tenths of an embedding's time in page faults. Buffers of this
 * pool are aligned to 64 bytes (from 2 MiB on to 2 MiB, backed by huge pages where the system has
 * them), are touched when they are first made, and are kept when they are given back.
 * --------------------------------------------------------------------------------------------- */

/** Takes a buffer of at least `bytes` bytes, whose contents are arbitrary. For 0 bytes a buffer all
 * the same. Errors: EK_ERROR_INVALID_POINTER, EK_ERROR_OUT_OF_MEMORY (after all that is held idle
 * was released). */
int32_t ek_buffer_take(size_t bytes, void **buffer);

/** Gives a buffer back, from any thread; its contents may be overwritten from then on. NULL does
 * nothing. Errors: EK_ERROR_INVALID_POINTER for an address that is no taken buffer's, such as one
 * given back twice. */
int32_t ek_buffer_give_back(void *buffer);

/** The same as a deleter, for `from_blob`, capsules and the like: what is no taken buffer is
 * ignored. */
void ek_buffer_release(void *buffer);

/** What the pool holds. */
typedef struct ek_buffers_info {
  /** Bytes that lie idle, ready for the next call. */
  uint64_t bytes_held;
  /** Bytes of buffers that are taken. */
  uint64_t bytes_in_use;
  /** How many bytes may lie idle at most; what is given back above it is released. */
  uint64_t limit;
  /** Buffers taken so far, and how many of them were reused. */
  uint64_t taken;
  uint64_t reused;
} ek_buffers_info;

/** Tells what the pool holds. */
int32_t ek_buffers_get_info(ek_buffers_info *info);

/** Sets how many bytes may lie idle; 1 GiB at first, or a sixteenth of the machine's memory where
 * that is less. Releases what is above it. 0 keeps nothing. */
int32_t ek_buffers_set_limit(uint64_t bytes);

/** Releases all that lies idle, and working memory that calls keep. `released`, which may be NULL,
 * gets the bytes of buffers. */
int32_t ek_buffers_empty(uint64_t *released);

/* ------------------------------------------------------------------------------------------------
 * Where tokens stand
 * --------------------------------------------------------------------------------------------- */

enum {
  /** `offset`, `offset + 1`, ... in every sequence. */
  EK_POSITIONS_SEQUENTIAL = 0,
  /** `data[b]`, `data[b] + 1`, ... in sequence b: shape (B). */
  EK_POSITIONS_OFFSETS = 1,
  /** `data[b, t]`, or `data[t]` in every sequence: shape (B, T) or (T). */
  EK_POSITIONS_EXPLICIT = 2,
  /** Documents one after another, from 0 in each: `data` are their cumulative lengths, from 0 to N.
   */
  EK_POSITIONS_PACKED = 3,
  /** The number of real tokens before it; `data` (B, T) is 0 for padding, which takes position 0.
   */
  EK_POSITIONS_MASK = 4
};

/** The positions of a batch's tokens; NULL where one is asked for means 0, 1, ... in every
 * sequence. */
typedef struct ek_positions {
  /** sizeof(ek_positions) */
  size_t struct_size;
  /** One of EK_POSITIONS_.... */
  int32_t kind;
  /** The type of `data`: INT32 or INT64; for a mask UINT8 or BOOL. */
  int32_t dtype;
  /** SEQUENTIAL: the position of each sequence's first token. */
  int64_t offset;
  /** The others' numbers; read during the call alone. A call copies them: 4 bytes each. */
  const void *data;
  /** How many there are. */
  int64_t count;
} ek_positions;

#define EK_POSITIONS_INIT \
  {sizeof(ek_positions), EK_POSITIONS_SEQUENTIAL, EK_DTYPE_INT32, 0, NULL, 0}

/* ------------------------------------------------------------------------------------------------
 * Embedding
 * --------------------------------------------------------------------------------------------- */

/** What to do with a token id outside the vocabulary. */
enum { EK_UNKNOWN_ERROR = 0, EK_UNKNOWN_CLAMP = 1, EK_UNKNOWN_ZERO_ROW = 2 };
/** What to do with a position past the position table. */
enum { EK_OVERFLOW_ERROR = 0, EK_OVERFLOW_CLAMP = 1 };
/** How a call is computed. All but OPENBLAS need nothing but this library. */
enum { EK_BACKEND_AUTO = 0, EK_BACKEND_NATIVE = 1, EK_BACKEND_SIMD = 2, EK_BACKEND_OPENBLAS = 3 };

typedef struct ek_embed_options {
  /** sizeof(ek_embed_options) */
  size_t struct_size;
  /** Multiplies token rows before positions are added, such as sqrt(D). */
  float scale;
  /** EK_UNKNOWN_... */
  int32_t unknown_ids;
  /** EK_OVERFLOW_... */
  int32_t position_overflow;
  /** EK_BACKEND_... */
  int32_t backend;
  /** Threads at most; 0 for those that `ek_set_threads` says. */
  int32_t threads;
  int32_t reserved;
  /** Where tokens stand; NULL for 0, 1, ... */
  const ek_positions *place;
} ek_embed_options;

#define EK_EMBED_OPTIONS_INIT \
  {sizeof(ek_embed_options), 1.0f, EK_UNKNOWN_ERROR, EK_OVERFLOW_ERROR, EK_BACKEND_AUTO, 0, 0, NULL}

/** Gathers token rows and adds position rows.
 *
 *      output[b, t, :] = round(scale * tokens[ids[b, t], :] + positions[place(b, t), :])
 *
 *  \param ids           (B, T) of `id_dtype`, INT32 or INT64.
 *  \param tokens        (V, D) of `table_dtype`: FLOAT32, FLOAT16 or BFLOAT16.
 *  \param positions     (maximum, D) of the same type, or NULL for none.
 *  \param output        (B, T, D) of `output_dtype`, any of the three; apart from the inputs.
 *  \param options       NULL for the defaults.
 *  Errors: pointers, sizes, EK_ERROR_TOKEN_OUT_OF_RANGE and positions', overlaps; before anything
 * is written. Allocates nothing, except for a copy of positions that are given as an array. */
int32_t ek_embed(const void *ids, int32_t id_dtype, int64_t batch, int64_t context,
                 const void *tokens, int32_t table_dtype, int64_t vocabulary, int64_t dim,
                 const void *positions, int64_t maximum, void *output, int32_t output_dtype,
                 const ek_embed_options *options);

/* ------------------------------------------------------------------------------------------------
 * Embedding with segments, normalisation and dropout, in one pass
 * --------------------------------------------------------------------------------------------- */

enum {
  EK_NORM_NONE = 0,
  /** (x - mean) / sqrt(variance + epsilon) * gamma + beta */
  EK_NORM_LAYER = 1,
  /** x / sqrt(mean(x * x) + epsilon) * gamma + beta */
  EK_NORM_RMS = 2
};

typedef struct ek_fused_options {
  /** sizeof(ek_fused_options) */
  size_t struct_size;
  /** As in ek_embed_options. */
  float scale;
  int32_t unknown_ids;
  int32_t position_overflow;
  int32_t backend;
  int32_t threads;
  /** EK_NORM_... */
  int32_t norm;
  const ek_positions *place;
  /** Segment (token type) rows (S, D) of `table_dtype`, or NULL for none. */
  const void *segments;
  int64_t segment_count;
  /** (B, T) of the ids' type; NULL for segment 0 everywhere. */
  const void *segment_ids;
  /** Gain (D); NULL for 1. */
  const float *gamma;
  /** Offset (D), or NULL for none. */
  const float *beta;
  float epsilon;
  /** The share of elements that becomes 0, in 0 <= rate < 1; the rest is scaled by 1 / (1 - rate).
   */
  float dropout_rate;
  /** The mask is a function of seed, step and element alone. */
  uint64_t dropout_seed;
  uint64_t dropout_step;
  /** Of all three tables: FLOAT32, FLOAT16 or BFLOAT16. */
  int32_t table_dtype;
  /** Of the output, any of the three; a backward call does not look at it. */
  int32_t output_dtype;
} ek_fused_options;

#define EK_FUSED_OPTIONS_INIT \
  {sizeof(ek_fused_options),  \
   1.0f,                      \
   EK_UNKNOWN_ERROR,          \
   EK_OVERFLOW_ERROR,         \
   EK_BACKEND_AUTO,           \
   0,                         \
   EK_NORM_NONE,              \
   NULL,                      \
   NULL,                      \
   0,                         \
   NULL,                      \
   NULL,                      \
   NULL,                      \
   1e-5f,                     \
   0.0f,                      \
   0,                         \
   0,                         \
   EK_DTYPE_FLOAT32,          \
   EK_DTYPE_FLOAT32}

/** Token, position and segment rows, normalised and dropped from.
 *
 *      x = scale * tokens[ids[b, t], :] + positions[place(b, t), :] + segments[segment_ids[b, t],
 * :] output[b, t, :] = dropout(norm(x))
 *
 *  Tables and output are FLOAT32 unless `options` say otherwise; 16-bit elements are widened to
 * floats, computed with as floats, and each result is rounded once, to nearest even. `gamma` and
 * `beta` are floats. Shapes are those of `ek_embed`. `options` may be NULL.
 *  Errors: those of `ek_embed`, EK_ERROR_SEGMENT_OUT_OF_RANGE, EK_ERROR_INVALID_VALUE. Allocates
 * under 1 KB; and B*T*D floats where ids or positions outside the tables are let pass and the
 * output is of 16-bit elements. */
int32_t ek_embed_fused(const void *ids, int32_t id_dtype, int64_t batch, int64_t context,
                       const void *tokens, int64_t vocabulary, int64_t dim, const void *positions,
                       int64_t maximum, void *output, const ek_fused_options *options);

/** The gradients of `ek_embed_fused`, from that of its output; the other arguments are the
 * forward's. Gradients are floats, whatever the tables are.
 *
 *  \param output_gradient   (B, T, D).
 *  \param row_gradient      (B, T, D), overwritten: the gradient of each token's x, which
 * `ek_backward` takes to the tables.
 *  \param gamma_gradient    (D), added to; NULL for none. Likewise `beta_gradient`.
 *  \param segment_gradient  (S, D), added to; NULL for none.
 *  Errors: as the forward. Allocates partial sums, at most 32 MiB. */
int32_t ek_embed_fused_backward(const float *output_gradient, const void *ids, int32_t id_dtype,
                                int64_t batch, int64_t context, const void *tokens,
                                int64_t vocabulary, int64_t dim, const void *positions,
                                int64_t maximum, float *row_gradient, float *gamma_gradient,
                                float *beta_gradient, float *segment_gradient,
                                const ek_fused_options *options);

/** Normalises rows.
 *
 *      output[n, :] = norm(input[n, :])
 *
 *  \param input   (rows, D); \param output (rows, D), apart from it.
 *  \param gamma   (D); NULL for 1. \param beta (D), or NULL.
 *  \param norm    EK_NORM_LAYER or EK_NORM_RMS.
 *  \param threads As in ek_embed_options.
 *  Errors: pointers, sizes, EK_ERROR_INVALID_VALUE for epsilon, overlaps. Allocates 4 bytes a row.
 */
int32_t ek_normalize(const float *input, int64_t rows, int64_t dim, int32_t norm,
                     const float *gamma, const float *beta, float epsilon, float *output,
                     int32_t threads);

/** The gradients of `ek_normalize`.
 *
 *  \param input_gradient   (rows, D), overwritten. \param gamma_gradient (D), added to; NULL for
 * none. Likewise `beta_gradient`. */
int32_t ek_normalize_backward(const float *output_gradient, const float *input, int64_t rows,
                              int64_t dim, int32_t norm, const float *gamma, const float *beta,
                              float epsilon, float *input_gradient, float *gamma_gradient,
                              float *beta_gradient, int32_t threads);

/* ------------------------------------------------------------------------------------------------
 * Gradients of the tables
 * --------------------------------------------------------------------------------------------- */

/** Whether a token's gradient is divided by how often it is in the batch (`scale_grad_by_freq`). */
enum { EK_FREQUENCY_NONE = 0, EK_FREQUENCY_INVERSE = 1 };
/** How a row's gradients are summed: runs of 64 and a tree; runs of 8; with the rounding errors
 * beside. */
enum { EK_SUM_CHUNKED = 0, EK_SUM_PAIRWISE = 1, EK_SUM_COMPENSATED = 2 };
/** Whether a dense gradient replaces what its buffer holds (rows without tokens become 0), or is
 * added. */
enum { EK_WRITE_OVERWRITE = 0, EK_WRITE_ACCUMULATE = 1 };

typedef struct ek_backward_options {
  /** sizeof(ek_backward_options) */
  size_t struct_size;
  /** What the forward multiplied token rows by. */
  float scale;
  /** Multiplies all gradients. */
  float gradient_scale;
  /** An id without gradient, or -1 for none. */
  int64_t padding_id;
  /** EK_FREQUENCY_... */
  int32_t frequency;
  /** EK_SUM_... */
  int32_t summation;
  /** EK_UNKNOWN_... and EK_OVERFLOW_..., as the forward's. */
  int32_t unknown_ids;
  int32_t position_overflow;
  int32_t backend;
  int32_t threads;
  /** EK_WRITE_..., of dense gradients. */
  int32_t writing;
  int32_t reserved;
  const ek_positions *place;
} ek_backward_options;

#define EK_BACKWARD_OPTIONS_INIT \
  {sizeof(ek_backward_options),  \
   1.0f,                         \
   1.0f,                         \
   -1,                           \
   EK_FREQUENCY_NONE,            \
   EK_SUM_CHUNKED,               \
   EK_UNKNOWN_ERROR,             \
   EK_OVERFLOW_ERROR,            \
   EK_BACKEND_AUTO,              \
   0,                            \
   EK_WRITE_OVERWRITE,           \
   0,                            \
   NULL}

/** Gradients of the tables as dense arrays.
 *
 *      token_gradient[ids[n], :]      (+)= gradient_scale * scale * output_gradient[n, :]
 *      position_gradient[place(n), :] (+)= gradient_scale * output_gradient[n, :]
 *
 *  \param output_gradient     (B, T, D). One of 16-bit elements goes through `ek_convert` first,
 * which is exact.
 *  \param token_gradient      (V, D), or NULL for none.
 *  \param position_gradient   (maximum, D), or NULL for none.
 *  Errors: as `ek_embed`; EK_ERROR_OVERLAPPING_MEMORY between the three. Keeps working memory for
 * later calls, some 40 bytes a token. */
int32_t ek_backward(const float *output_gradient, const void *ids, int32_t id_dtype, int64_t batch,
                    int64_t context, int64_t vocabulary, int64_t dim, float *token_gradient,
                    float *position_gradient, int64_t maximum, const ek_backward_options *options);

/** The token table's gradient as the rows that the batch touches, each once and rising, with a
 * vector each: what a coalesced sparse tensor holds.
 *
 *  \param rows       The row numbers, of `row_dtype` INT32 or INT64: room for `capacity`.
 *  \param values     (capacity, D), of which `count` rows are written.
 *  \param capacity   At least the number of different ids: min(N, V) always does.
 *  \param count      The number of rows.
 *  \param position_gradient   (maximum, D), dense, or NULL for none: of the same pass.
 *  Errors: as `ek_backward`; EK_ERROR_BUFFER_TOO_SMALL with `count` set, where neither `rows` nor
 * `values` were written. */
int32_t ek_backward_sparse(const float *output_gradient, const void *ids, int32_t id_dtype,
                           int64_t batch, int64_t context, int64_t vocabulary, int64_t dim,
                           void *rows, int32_t row_dtype, float *values, int64_t capacity,
                           int64_t *count, float *position_gradient, int64_t maximum,
                           const ek_backward_options *options);

/** Scales rows whose p-norm is above `maximum_norm` down to it, each row once: `nn.Embedding`'s
 * max_norm.
 *
 *      if norm(table[r, :]) > maximum_norm: table[r, :] *= maximum_norm / (norm + 1e-7)
 *
 *  \param table        (V, D) of `dtype`: FLOAT32, FLOAT16 or BFLOAT16.
 *  \param ids          `count` ids of the rows to look at, in any order, with repeats.
 *  \param maximum_norm Finite, 0 or more. \param order p: above 0, or INFINITY.
 *  \param changed      How many rows were scaled; may be NULL.
 *  Errors: EK_ERROR_TOKEN_OUT_OF_RANGE (`position` is the place in `ids`), EK_ERROR_INVALID_VALUE.
 */
int32_t ek_renormalize_rows(void *table, int32_t dtype, int64_t vocabulary, int64_t dim,
                            const void *ids, int32_t id_dtype, int64_t count, double maximum_norm,
                            double order, int64_t *changed);

/* ------------------------------------------------------------------------------------------------
 * Bags: rows pooled, as PyTorch's `EmbeddingBag`
 * --------------------------------------------------------------------------------------------- */

/** How ids fall into bags, one after another. */
enum {
  /** `numbers` are where the bags start, from 0 on and never falling; the last one ends with the
   * ids. */
  EK_BAGS_OFFSETS = 0,
  /** The same with one more at the end, which is the number of ids. */
  EK_BAGS_OFFSETS_WITH_LAST = 1,
  /** `numbers` are how many ids each bag has; together all. */
  EK_BAGS_LENGTHS = 2,
  /** `count` bags of `length` ids each. */
  EK_BAGS_RECTANGLE = 3
};
/** What becomes of a bag's rows; an empty bag gives zeros. */
enum { EK_BAG_SUM = 0, EK_BAG_MEAN = 1, EK_BAG_MAX = 2 };

typedef struct ek_bag_layout {
  /** sizeof(ek_bag_layout) */
  size_t struct_size;
  /** One of EK_BAGS_.... */
  int32_t kind;
  /** The type of `numbers`: INT32 or INT64. */
  int32_t dtype;
  /** NULL for a rectangle. */
  const void *numbers;
  /** How many there are; of a rectangle, the number of bags. */
  int64_t count;
  /** The ids of each bag of a rectangle. */
  int64_t length;
} ek_bag_layout;

#define EK_BAG_LAYOUT_INIT {sizeof(ek_bag_layout), EK_BAGS_OFFSETS, EK_DTYPE_INT64, NULL, 0, 0}

typedef struct ek_bag_options {
  /** sizeof(ek_bag_options) */
  size_t struct_size;
  /** A weight for each id, for sums alone; NULL for none. */
  const float *weights;
  /** An id that is left out of its bag, also of a mean's number, or -1 for none. */
  int64_t padding_id;
  /** EK_BAG_... */
  int32_t pool;
  /** EK_UNKNOWN_...; a row of zeros counts in a mean. */
  int32_t unknown_ids;
  int32_t backend;
  int32_t threads;
  /** Multiplies gradients. */
  float gradient_scale;
  /** EK_FREQUENCY_...: by the id's number in the whole call; not of a maximum. */
  int32_t frequency;
  /** EK_SUM_..., of gradients. */
  int32_t summation;
  /** EK_WRITE_..., of dense gradients. */
  int32_t writing;
} ek_bag_options;

#define EK_BAG_OPTIONS_INIT                                                 \
  {sizeof(ek_bag_options), NULL, -1,   EK_BAG_SUM,        EK_UNKNOWN_ERROR, \
   EK_BACKEND_AUTO,        0,    1.0f, EK_FREQUENCY_NONE, EK_SUM_CHUNKED,   \
   EK_WRITE_OVERWRITE}

/** Pools the rows of each bag.
 *
 *      output[b, :] = pool(weights[j] * tokens[ids[j], :]) over the ids j of bag b
 *
 *  A sum starts from 0 and takes the rows in the order of the ids, each product and sum rounded to
 *  fp32; the result is rounded once to the output's type.
 *
 *  \param ids       `id_count` ids of `id_dtype`, INT32 or INT64: all bags' one after another.
 *  \param tokens    (V, D) of `table_dtype`: FLOAT32, FLOAT16 or BFLOAT16.
 *  \param output    (bags, D) of `output_dtype`, any of the three; apart from the inputs.
 *  \param winners   (bags, D): of a maximum, the index of the id whose row has the number, the
 * first of several, or -1 for an empty bag; what its backward takes. NULL where that is not wanted.
 *  \param options   NULL for the defaults.
 *  Errors: pointers, sizes, offsets (EK_ERROR_INVALID_SIZE), EK_ERROR_TOKEN_OUT_OF_RANGE
 * (`batch_row` is the bag, `position` the place in it), overlaps; before anything is written.
 * Allocates nothing. */
int32_t ek_bag(const void *ids, int32_t id_dtype, int64_t id_count, const ek_bag_layout *bags,
               const void *tokens, int32_t table_dtype, int64_t vocabulary, int64_t dim,
               void *output, int32_t output_dtype, int32_t *winners, const ek_bag_options *options);

/** The table's gradient as a dense array.
 *
 *      token_gradient[ids[j], :] (+)= gradient_scale * factor(j) * output_gradient[b, :]
 *
 *  for the ids j of bags b; the factor is the id's weight, of a mean 1 / the number of its rows, of
 * a maximum 1 in the columns that the id wins and 0 in the others.
 *
 *  \param output_gradient   (bags, D).
 *  \param winners           Of a maximum: as `ek_bag` gave them; else NULL.
 *  \param token_gradient    (V, D).
 *  Errors: as `ek_bag`. Keeps working memory for later calls, some 60 bytes an id. */
int32_t ek_bag_backward(const float *output_gradient, const void *ids, int32_t id_dtype,
                        int64_t id_count, const ek_bag_layout *bags, const int32_t *winners,
                        int64_t vocabulary, int64_t dim, float *token_gradient,
                        const ek_bag_options *options);

/** The same as the rows that have a gradient, each once and rising, with a vector each, as
 *  `ek_backward_sparse` has them. */
int32_t ek_bag_backward_sparse(const float *output_gradient, const void *ids, int32_t id_dtype,
                               int64_t id_count, const ek_bag_layout *bags, const int32_t *winners,
                               int64_t vocabulary, int64_t dim, void *rows, int32_t row_dtype,
                               float *values, int64_t capacity, int64_t *count,
                               const ek_bag_options *options);

/** The gradient of a sum's weights: the inner products of output gradients and rows.
 *
 *      weight_gradient[j] = sum of output_gradient[b, :] * tokens[ids[j], :]
 *
 *  Padding, and ids that read zeros, get 0.
 *
 *  \param weight_gradient   `id_count` numbers. */
int32_t ek_bag_weight_gradient(const float *output_gradient, const void *ids, int32_t id_dtype,
                               int64_t id_count, const ek_bag_layout *bags, const void *tokens,
                               int32_t table_dtype, int64_t vocabulary, int64_t dim,
                               float *weight_gradient, const ek_bag_options *options);

/* ------------------------------------------------------------------------------------------------
 * Tables of quantised rows, which are read only
 * --------------------------------------------------------------------------------------------- */

/** How a row is stored, byte for byte as its inventors have it; in brackets its name. Numbers stay
 * as they are. */
enum {
  EK_FORMAT_F32 = 0,  /* f32 */
  EK_FORMAT_F16 = 1,  /* f16 */
  EK_FORMAT_BF16 = 2, /* bf16 */
  /** int8 (int8), symmetric, times a FLOAT32 scale a row, beside the rows. */
  EK_FORMAT_INT8 = 3,
  /** The same with FLOAT16 scales (int8_f16). */
  EK_FORMAT_INT8_F16 = 4,
  /** fp8 e4m3 (fp8). */
  EK_FORMAT_FP8 = 5,
  /** The same times a FLOAT32 scale a row, beside the rows (fp8_row). */
  EK_FORMAT_FP8_ROW = 6,
  /** The same times a power of two (ue8m0) for each 32 columns, beside the rows (fp8_block32). */
  EK_FORMAT_FP8_BLOCK32 = 7,
  /** The same for each 128 columns (fp8_block128). */
  EK_FORMAT_FP8_BLOCK128 = 8,
  /** The same with FLOAT32 scales (fp8_block128_f32). */
  EK_FORMAT_FP8_BLOCK128_F32 = 9,
  /** FBGEMM's 8 bits: a byte a column, then the row's FLOAT32 scale and bias (fbgemm8). */
  EK_FORMAT_FBGEMM8 = 10,
  /** FBGEMM's 4 bits: two columns a byte, then FLOAT16 scale and bias (fbgemm4). */
  EK_FORMAT_FBGEMM4 = 11,
  /** GGUF's (q8_0, q4_0, q4_k, q6_k). */
  EK_FORMAT_Q8_0 = 12,
  EK_FORMAT_Q4_0 = 13,
  EK_FORMAT_Q4_K = 14,
  EK_FORMAT_Q6_K = 15
};

/** The number of the format called `name`, such as "q8_0". Errors: EK_ERROR_UNSUPPORTED, which
 * lists the names. */
int32_t ek_rows_format_named(const char *name, int32_t *format);

typedef struct ek_rows_format_info {
  /** What a row's length is a multiple of. */
  int64_t block;
  /** The bytes of a row, and of its scales where they stand beside the rows, else 0. */
  int64_t row_bytes;
  int64_t scale_bytes;
} ek_rows_format_info;

/** Tells the sizes of rows of `dim` columns. Errors: EK_ERROR_INVALID_OPTION,
 *  EK_ERROR_INVALID_SIZE for a dim that the format has no rows of. */
int32_t ek_rows_format_get(int32_t format, int64_t dim, ek_rows_format_info *info);

/** A table of rows in a format. Any number of threads may read at once. */
typedef struct ek_row_table ek_row_table;

/** Quantises a table by the rule of the format's inventors; the bytes don't depend on threads.
 *
 *  \param elements   (rows, dim). \param format EK_FORMAT_... \param threads as in
 * ek_embed_options. Errors: sizes; EK_ERROR_INVALID_VALUE for a number that the format can't hold,
 * whose place the message names; EK_ERROR_OUT_OF_MEMORY. */
int32_t ek_rows_quantize(const float *elements, int64_t rows, int64_t dim, int32_t format,
                         int32_t threads, ek_row_table **table);

/** Rows that are in a format already. */
typedef struct ek_rows_source {
  /** sizeof(ek_rows_source) */
  size_t struct_size;
  /** The rows one after another, at any address: rows * row_bytes. */
  const void *bytes;
  int64_t byte_count;
  /** Where the format has scales beside the rows: theirs, else NULL with 0. */
  const void *scales;
  int64_t scale_count;
  int64_t rows;
  int64_t dim;
  /** How many neighbouring rows share a row of scales: a power of two, or as many as there are or
   *  more for one of all rows; 0 for 1. */
  int64_t rows_a_scale;
  /** EK_FORMAT_... */
  int32_t format;
  int32_t reserved;
} ek_rows_source;

#define EK_ROWS_SOURCE_INIT {sizeof(ek_rows_source), NULL, 0, NULL, 0, 0, 0, 0, EK_FORMAT_F32, 0}

/** Makes a table of the caller's memory, which is read where it lies and never written.
 *
 *  \param release, context   As in `ek_table_borrow`.
 *  Errors: EK_ERROR_WRONG_ELEMENT_COUNT for bytes that are not those of the sizes, sizes. */
int32_t ek_rows_wrap(const ek_rows_source *source, void (*release)(void *context), void *context,
                     ek_row_table **table);

/** The format that the tensor's type tells, for ek_rows_map. */
enum { EK_FORMAT_OF_TENSOR = -1 };

/** Maps a tensor (rows, dim) of a safetensors file, of a sharded model by its index or folder, or
 * of a GGUF file: nothing is read before rows are, and the file may be larger than memory.
 *
 *  The file must not be written to meanwhile. Where it is, or a page cannot be read, calls on the
 *  table fail with EK_ERROR_FILE_SYSTEM (kind "unreadableRow"; row, and the byte as position), that
 *  one, whose output has no meaning, and all later ones; the process lives on, by a handler of
 *  SIGBUS that passes on what is not ours. Memory that `ek_rows_get` tells is not so protected.
 *
 *  \param format   EK_FORMAT_..., where the tensor's type does not tell: of uint8, fp8 and int8.
 *  \param scales   The tensor of scales beside the rows; NULL for none.
 *  \param resident_limit   Bytes of the file that may be in memory, 1 MiB or more; 0 for no limit.
 *  Errors: EK_ERROR_FILE_NOT_FOUND, EK_ERROR_FILE_FORMAT, EK_ERROR_MISSING_TENSOR,
 *  EK_ERROR_ELEMENT_TYPE where the format is not told, sizes. */
int32_t ek_rows_map(const char *path, const char *tensor, int32_t format, const char *scales,
                    int64_t resident_limit, ek_row_table **table);

/** When a prefetch returns: when the rows are in memory, or when the system was asked for them. */
enum { EK_PREFETCH_FINISHED = 0, EK_PREFETCH_STARTED = 1 };

/** Brings rows of a mapped table into memory, so that a later call finds them: equal ids once, and
 *  neighbours in one read. Of other tables there is nothing to do.
 *
 *  \param unknown_ids   EK_UNKNOWN_...; \param stage EK_PREFETCH_...
 *  \param prefetched    Gets how many of the ids, from the first on, have their rows in memory:
 * fewer than all where a limit has no room for more. May be NULL. Errors:
 * EK_ERROR_TOKEN_OUT_OF_RANGE, EK_ERROR_FILE_SYSTEM. */
int32_t ek_rows_prefetch(const ek_row_table *table, const void *ids, int32_t id_dtype,
                         int64_t id_count, int32_t unknown_ids, int32_t stage, int64_t *prefetched);

/** Tells a table's memory and sizes, valid as long as it lives. */
int32_t ek_rows_get(const ek_row_table *table, ek_rows_source *source);

/** Decodes `count` rows from `first` on into `output`, (count, dim): what the format's inventors
 *  decode them to, bit for bit. Errors: EK_ERROR_INDEX_OUT_OF_RANGE. */
int32_t ek_rows_decode(const ek_row_table *table, int64_t first, int64_t count, float *output,
                       int32_t threads);

/** `ek_embed` from such a table: rows are decoded on the way, and never written out as floats.
 *
 *  \param positions   (maximum, D) of `position_dtype`: FLOAT32, FLOAT16 or BFLOAT16; NULL for
 * none. Errors: those of `ek_embed`. Allocates nothing, except for a copy of positions that are
 * given as an array. */
int32_t ek_rows_embed(const void *ids, int32_t id_dtype, int64_t batch, int64_t context,
                      const ek_row_table *tokens, const void *positions, int32_t position_dtype,
                      int64_t maximum, void *output, int32_t output_dtype,
                      const ek_embed_options *options);

/** `ek_bag` from such a table. */
int32_t ek_rows_bag(const void *ids, int32_t id_dtype, int64_t id_count, const ek_bag_layout *bags,
                    const ek_row_table *tokens, void *output, int32_t output_dtype,
                    int32_t *winners, const ek_bag_options *options);

/** `ek_bag_weight_gradient` from such a table. */
int32_t ek_rows_bag_weight_gradient(const float *output_gradient, const void *ids, int32_t id_dtype,
                                    int64_t id_count, const ek_bag_layout *bags,
                                    const ek_row_table *tokens, float *weight_gradient,
                                    const ek_bag_options *options);

void ek_rows_destroy(ek_row_table *table);

/* ------------------------------------------------------------------------------------------------
 * Tables
 * --------------------------------------------------------------------------------------------- */

/** A table of rows: the parameter that optimisers and layers share. */
typedef struct ek_table ek_table;

/** Makes a table (rows, dim) of zeros: FLOAT32, FLOAT16 or BFLOAT16.
 *  Errors: sizes, EK_ERROR_OUT_OF_MEMORY. */
int32_t ek_table_create(int64_t rows, int64_t dim, int32_t dtype, ek_table **table);

/** Makes a table of the caller's memory, which it reads and writes in place.
 *
 *  \param data     (rows, dim) of `dtype`; must stay where it is until `release` is called, or
 * without one as long as the table or what is made of it lives.
 *  \param release  Called with `context` once nothing uses the memory any more, from whatever
 * thread ends the last use; NULL for nothing. Not called where this function fails. */
int32_t ek_table_borrow(void *data, int64_t rows, int64_t dim, int32_t dtype,
                        void (*release)(void *context), void *context, ek_table **table);

/** Tells a table's memory and sizes; each of the four may be NULL. The memory is valid as long as
 * the table lives. Under an optimiser that leaves rows behind, rows are brought up to date by
 *  `ek_table_synchronise`, not here. */
int32_t ek_table_get(const ek_table *table, void **data, int64_t *rows, int64_t *dim,
                     int32_t *dtype);

/** Brings rows up to date that optimisers have left behind: those of `count` ids, or all where
 * `ids` is NULL. Whoever reads the memory itself calls it before. Costs a look where none is
 * behind. */
int32_t ek_table_synchronise(ek_table *table, const void *ids, int32_t id_dtype, int64_t count);

/** How a table is drawn. */
enum {
  EK_DRAW_ZEROS = 0,
  /** Normal, of standard deviation `a`. */
  EK_DRAW_NORMAL = 1,
  /** Uniform in -a ..< a. */
  EK_DRAW_UNIFORM = 2,
  /** Uniform by Xavier and Glorot's rule of the two sizes. */
  EK_DRAW_XAVIER = 3
};

/** Draws a FLOAT32 table; the same seed gives the same bits on every machine. */
int32_t ek_table_draw(ek_table *table, int32_t how, double a, uint64_t seed);

void ek_table_destroy(ek_table *table);

/* ------------------------------------------------------------------------------------------------
 * Optimisers
 * --------------------------------------------------------------------------------------------- */

/** Steps one table, and keeps the state for it. */
typedef struct ek_optimizer ek_optimizer;

/** What happens to rows that a step gives no gradient. */
enum {
  /** The optimiser's usual way. */
  EK_UNTOUCHED_USUAL = 0,
  /** They take the step with a gradient of 0, as with a dense gradient. */
  EK_UNTOUCHED_STEPPED = 1,
  /** They stay as they are: the lazy variants. */
  EK_UNTOUCHED_LEFT = 2,
  /** They take the steps of STEPPED, but not before they are next read or touched (adamw alone).
   * Call `ek_optimizer_catch_up` or `ek_table_synchronise` before their memory is read. */
  EK_UNTOUCHED_CAUGHT_UP = 3
};

/** How new values get into a BFLOAT16 or FLOAT16 table. What a FLOAT16 has no room for, past
 * 65,504, becomes infinite; master rows keep it. */
enum {
  /** Steps move FLOAT32 master rows, and the touched ones are rounded to nearest even. */
  EK_UPDATES_MASTERS = 0,
  /** Steps round at random so that the mean is kept, from a seed. */
  EK_UPDATES_STOCHASTIC = 1
};

/** NaN in a number stands for the optimiser's usual one. */
typedef struct ek_optimizer_options {
  /** sizeof(ek_optimizer_options) */
  size_t struct_size;
  /** "sgd", "momentum", "nesterov", "adagrad", "row-wise-adagrad", "adam", "sparse-adam", "adamw",
   * "lamb" */
  const char *name;
  double learning_rate;
  double weight_decay;
  double beta1;
  double beta2;
  double epsilon;
  double initial_sum;
  double rate_decay;
  /** EK_UNTOUCHED_... */
  int32_t untouched;
  /** EK_UPDATES_..., for a BFLOAT16 or FLOAT16 table. */
  int32_t updates;
  /** A row that never moves, or -1. */
  int64_t frozen_row;
  /** For EK_UPDATES_MASTERS: a FLOAT32 table of the same sizes; NULL to make one by widening. */
  ek_table *masters;
  /** For EK_UPDATES_STOCHASTIC. */
  uint64_t seed;
  /** The caller's memory for each array of the state, in the order of `ek_optimizer_state`, as it
   * is found; NULL to allocate it here. It must stay as long as the optimiser lives. Arrays of Adam
   * start from 0, and Adagrad's from `initial_sum`: with memory of one's own that is the caller's
   * to write. */
  void *const *state;
  int64_t state_count;
  /** The steps that were taken already, as for memory with a state in it. */
  int64_t step_count;
  /** EK_DTYPE_FLOAT32; or EK_DTYPE_BFLOAT16 for the moments of "adam", "sparse-adam" and "adamw" in
   * half the memory, rounded so that their mean is kept: with a standard deviation of at most
   * 2^-8 / sqrt(1 - beta^2) of a moment that changes slowly. */
  int32_t moment_dtype;
} ek_optimizer_options;

/** Stands for an optimiser's usual number, or the one it has. */
#define EK_USUAL (__builtin_nan(""))

#define EK_OPTIMIZER_OPTIONS_INIT \
  {sizeof(ek_optimizer_options),  \
   NULL,                          \
   1e-3,                          \
   EK_USUAL,                      \
   EK_USUAL,                      \
   EK_USUAL,                      \
   EK_USUAL,                      \
   EK_USUAL,                      \
   EK_USUAL,                      \
   EK_UNTOUCHED_USUAL,            \
   EK_UPDATES_MASTERS,            \
   -1,                            \
   NULL,                          \
   0,                             \
   NULL,                          \
   0,                             \
   0,                             \
   EK_DTYPE_FLOAT32}

/** Makes an optimiser of a table of any type, which it keeps alive.
 *  Errors: EK_ERROR_UNSUPPORTED for a name or a number that the optimiser lacks,
 * EK_ERROR_INVALID_VALUE, EK_ERROR_INVALID_SIZE, EK_ERROR_OUT_OF_MEMORY. */
int32_t ek_optimizer_create(ek_table *table, const ek_optimizer_options *options,
                            ek_optimizer **optimizer);

/** Brings all rows up to date, and forgets the optimiser. */
void ek_optimizer_destroy(ek_optimizer *optimizer);

/** Forgets the optimiser without a look at the memory, which may be gone: rows that are behind stay
 * so. */
void ek_optimizer_abandon(ek_optimizer *optimizer);

/** Goes on with the same numbers in other memory, of the same shapes: that of a borrowed table, and
 * of a state that the caller brought. What the optimiser knows of missed steps stays. No memory is
 * read or written.
 *
 *  \param table   (rows, dim) of the table's type, for the table and whatever else is made of it;
 * NULL for where it is. Without a release function of its own: that of `ek_table_borrow` stays in
 * force.
 *  \param state   As in ek_optimizer_options; NULL with 0 for where it is.
 *  Errors: EK_ERROR_UNSUPPORTED for a table or state that is not the caller's memory. */
int32_t ek_optimizer_move(ek_optimizer *optimizer, void *table, void *const *state,
                          int64_t state_count);

/** The numbers of a step, NaN for what they were: what schedulers and parameter groups change. A
 * change of betas or epsilon under EK_UNTOUCHED_CAUGHT_UP brings all rows up to date first. */
typedef struct ek_step_options {
  /** sizeof(ek_step_options) */
  size_t struct_size;
  double learning_rate;
  double weight_decay;
  double beta1;
  double beta2;
  double epsilon;
  /** Multiplies the gradient first, such as a clipping factor. */
  float gradient_scale;
  int32_t threads;
} ek_step_options;

#define EK_STEP_OPTIONS_INIT \
  {sizeof(ek_step_options), EK_USUAL, EK_USUAL, EK_USUAL, EK_USUAL, EK_USUAL, 1.0f, 0}

/** Steps by listed rows.
 *
 *  \param rows     `count` row numbers of `row_dtype` INT32 or INT64, in any order; repeats are
 * summed. Rising ones without repeats (a coalesced gradient) are taken without a pass to sort them.
 *  \param values   (count, D).
 *  Errors: EK_ERROR_TOKEN_OUT_OF_RANGE, EK_ERROR_INVALID_VALUE; before anything is written. */
int32_t ek_optimizer_step_rows(ek_optimizer *optimizer, const void *rows, int32_t row_dtype,
                               int64_t count, const float *values, const ek_step_options *options);

/** Steps by a dense gradient (rows, D). */
int32_t ek_optimizer_step_dense(ek_optimizer *optimizer, const float *gradient,
                                const ek_step_options *options);

/** Steps by the gradient of the forward's output, in one pass: no gradient of the table is ever
 * written.
 *
 *  \param output_gradient   (count, D). \param ids The tokens' ids, as given to the forward.
 *  The frozen row's tokens are passed over. */
int32_t ek_optimizer_step_output(ek_optimizer *optimizer, const float *output_gradient,
                                 const void *ids, int32_t id_dtype, int64_t count,
                                 const ek_step_options *options);

/** Steps by the gradient of the output of bags, in one pass, as `ek_bag_backward` describes it.
 *
 *  \param bag_options   As given to `ek_bag`; its backend, threads, gradient scale, summation and
 * writing are not read, but those of `options`. */
int32_t ek_optimizer_step_bags(ek_optimizer *optimizer, const float *output_gradient,
                               const void *ids, int32_t id_dtype, int64_t id_count,
                               const ek_bag_layout *bags, const int32_t *winners,
                               const ek_bag_options *bag_options, const ek_step_options *options);

/** Brings the rows of `count` ids up to date, or all rows and their state where `ids` is NULL. Does
 * nothing where rows are never behind. Errors: EK_ERROR_TOKEN_OUT_OF_RANGE. Allocates nothing. */
int32_t ek_optimizer_catch_up(ek_optimizer *optimizer, const void *ids, int32_t id_dtype,
                              int64_t count);

/** Tells what an optimiser is at; any of the pointers may be NULL.
 *
 *  \param step_count    The number of steps taken.
 *  \param is_behind     1 where rows may be behind, else 0.
 *  \param state_count   The number of arrays of its state.
 *  \param memory_bytes  The bytes of state and of room for steps. */
int32_t ek_optimizer_get(const ek_optimizer *optimizer, int64_t *step_count, int32_t *is_behind,
                         int64_t *state_count, int64_t *memory_bytes);

/** An array of an optimiser's state. */
typedef struct ek_state_array {
  /** Its name, such as "exp_avg" (PyTorch's where PyTorch has it). Lives as long as the process. */
  const char *name;
  /** FLOAT32, INT32, INT8 or BFLOAT16. */
  int32_t dtype;
  /** 2: (rows, D); 1: (rows). */
  int32_t rank;
  int64_t shape[2];
  int64_t bytes;
  /** The memory, which may be read, and written between steps. NULL from
   * `ek_optimizer_state_layout`. */
  void *data;
} ek_state_array;

/** Tells an array of the state; its memory is valid as long as the optimiser lives. Read it after
 *  `ek_optimizer_catch_up(optimizer, NULL, ...)`, so that no row is behind.
 *  Errors: EK_ERROR_INDEX_OUT_OF_RANGE. */
int32_t ek_optimizer_state(const ek_optimizer *optimizer, int64_t index, ek_state_array *array);

/** The arrays that an optimiser of these options would have for a table (rows, dim), for whoever
 * brings the memory: writes up to `capacity` and sets `count`. `arrays` may be NULL with a capacity
 * of 0. */
int32_t ek_optimizer_state_layout(const ek_optimizer_options *options, int64_t rows, int64_t dim,
                                  ek_state_array *arrays, int64_t capacity, int64_t *count);

/** Says that the memory of the state, and of the table, is now that of step `step_count`, after
 * they were written from outside. No row may be behind: `parameter_steps` and `moment_steps`, where
 * there are such arrays, are set to `step_count`. Errors: EK_ERROR_INVALID_SIZE for a step count
 * that is negative or past 2^31 - 2. */
int32_t ek_optimizer_set_step_count(ek_optimizer *optimizer, int64_t step_count);

/* ------------------------------------------------------------------------------------------------
 * Rotary positions
 * --------------------------------------------------------------------------------------------- */

/** The rotation of queries and keys. Tables of cosines and sines are made when they are first
 * needed. */
typedef struct ek_rotary ek_rotary;

/** Which elements of a head form a pair; MODEL for what the model type says. */
enum { EK_LAYOUT_MODEL = -1, EK_LAYOUT_HALVES = 0, EK_LAYOUT_INTERLEAVED = 1 };
/** The order of a tensor's dimensions: (B, H, T, headDim) or (B, T, H, headDim). */
enum { EK_HEADS_FIRST = 0, EK_CONTEXT_FIRST = 1 };
/** BACKWARD is the inverse turn, which takes output gradients to input gradients. */
enum { EK_ROTATE_FORWARD = 0, EK_ROTATE_BACKWARD = 1 };

/** Makes a plain rotation.
 *
 *  \param head_dim     The floats of a head's vector, even.
 *  \param rotary_dim   The first elements that turn, even; 0 for all.
 *  \param base         Such as 10000.
 *  \param layout       EK_LAYOUT_HALVES or EK_LAYOUT_INTERLEAVED.
 *  Errors: EK_ERROR_INVALID_SIZE, EK_ERROR_INVALID_VALUE. */
int32_t ek_rotary_create(int64_t head_dim, int64_t rotary_dim, double base, int32_t layout,
                         ek_rotary **rotary);

/** How the angles of a rotation are set for contexts longer than those of training. */
enum {
  EK_SCALING_NONE = 0,
  /** Positions divided by `factor`. */
  EK_SCALING_LINEAR = 1,
  /** A larger base, by `factor`. */
  EK_SCALING_NTK = 2,
  /** A base that grows with the length past `trained_length`, which is whole. */
  EK_SCALING_DYNAMIC = 3,
  /** NTK-by-parts with an attention factor: `factor`, `trained_length`, `fast_turns`, `slow_turns`,
   *  `ramp`, `attention_factor`. */
  EK_SCALING_YARN = 4,
  /** The same without one. */
  EK_SCALING_NTK_BY_PARTS = 5,
  /** Llama 3.1's: `factor`, `trained_length`, `low_frequency_factor`, `high_frequency_factor`. */
  EK_SCALING_LLAMA3 = 6,
  /** A divisor a pair within `trained_length`, which is whole, and one beyond: `short_factors`,
   *  `long_factors`, `factor` (of the lengths), `attention_factor`. */
  EK_SCALING_LONGROPE = 7,
  /** Only the first `proportion` of the pairs turn, divided by `factor`. */
  EK_SCALING_PROPORTIONAL = 8
};
/** Where the ramp of NTK-by-parts starts and ends: at whole pairs, or where the formula says. */
enum { EK_RAMP_WHOLE_PAIRS = 0, EK_RAMP_EXACT = 1 };

/** A scaling's numbers. What a kind does not name is not looked at; NaN stands for the usual
 *  number: 32 and 1 turns, 1 and 4, the attention factor that the method infers, for PROPORTIONAL a
 *  factor of 1. `factor` and `trained_length` have none. */
typedef struct ek_rotary_scaling {
  /** sizeof(ek_rotary_scaling) */
  size_t struct_size;
  /** EK_SCALING_... */
  int32_t kind;
  /** EK_RAMP_... */
  int32_t ramp;
  double factor;
  double trained_length;
  double attention_factor;
  double fast_turns;
  double slow_turns;
  double low_frequency_factor;
  double high_frequency_factor;
  double proportion;
  /** `factor_count` each, one a pair; copied. */
  const double *short_factors;
  const double *long_factors;
  int64_t factor_count;
} ek_rotary_scaling;

#define EK_ROTARY_SCALING_INIT \
  {sizeof(ek_rotary_scaling),  \
   EK_SCALING_NONE,            \
   EK_RAMP_WHOLE_PAIRS,        \
   EK_USUAL,                   \
   EK_USUAL,                   \
   EK_USUAL,                   \
   EK_USUAL,                   \
   EK_USUAL,                   \
   EK_USUAL,                   \
   EK_USUAL,                   \
   EK_USUAL,                   \
   NULL,                       \
   NULL,                       \
   0}

/** Makes a rotation with a scaling; the other arguments are those of `ek_rotary_create`.
 *  Errors: those of it; EK_ERROR_INVALID_OPTION for a kind that is not known;
 *  EK_ERROR_WRONG_ELEMENT_COUNT for factors that are not one a pair. */
int32_t ek_rotary_create_scaled(int64_t head_dim, int64_t rotary_dim, double base, int32_t layout,
                                const ek_rotary_scaling *scaling, ek_rotary **rotary);

/** Makes the rotation of a model from the text of its `config.json` as Hugging Face writes it, with
 * its scaling (linear, dynamic, YaRN, LongRoPE, llama3, ...).
 *
 *  \param json         `length` bytes of UTF-8.
 *  \param layer_type   Such as "full_attention" where layers have rotations of their own; else
 * NULL.
 *  \param layout       EK_LAYOUT_MODEL for the model type's.
 *  \param head_dim     Where the text has none; else 0.
 *  Errors: EK_ERROR_INVALID_FIELD, which names the field that is missing, unknown or out of range.
 */
int32_t ek_rotary_from_config(const char *json, size_t length, const char *layer_type,
                              int32_t layout, int64_t head_dim, ek_rotary **rotary);

/** The same from a file. */
int32_t ek_rotary_from_config_file(const char *path, const char *layer_type, int32_t layout,
                                   int64_t head_dim, ek_rotary **rotary);

/** Writes the layer types that have a rotation of their own, one a line; nothing where all layers
 * share one. `text`, `capacity` and `needed` are as in `ek_describe`. */
int32_t ek_rotary_layer_types(const char *json, size_t length, char *text, size_t capacity,
                              size_t *needed);

typedef struct ek_rotary_info {
  int64_t head_dim;
  int64_t rotary_dim;
  double base;
  /** EK_LAYOUT_... */
  int32_t layout;
  /** The number of coordinates of a token: 1, or 2 or 3 for images and video. */
  int32_t axes;
  /** 1 where the model turns by the negative angle. */
  int32_t turns_backward;
  int32_t reserved;
  /** What cosines and sines are multiplied by within the trained length. */
  double attention_factor;
} ek_rotary_info;

int32_t ek_rotary_get(const ek_rotary *rotary, ek_rotary_info *info);

typedef struct ek_rotate_options {
  /** sizeof(ek_rotate_options) */
  size_t struct_size;
  /** EK_ROTATE_... */
  int32_t direction;
  /** EK_HEADS_FIRST or EK_CONTEXT_FIRST. */
  int32_t order;
  int32_t backend;
  int32_t threads;
  const ek_positions *place;
  /** With several coordinates a token: (axes, B, T), none negative; then `place` is not looked at.
   */
  const int32_t *coordinates;
  /** For scalings that depend on the length: the tokens of the whole sequence; 0 for as long as the
   *  highest position needs. */
  int64_t length;
} ek_rotate_options;

#define EK_ROTATE_OPTIONS_INIT \
  {sizeof(ek_rotate_options), EK_ROTATE_FORWARD, EK_HEADS_FIRST, EK_BACKEND_AUTO, 0, NULL, NULL, 0}

/** Turns each head's vector by its token's position.
 *
 *  \param input    (B, H, T, headDim) or (B, T, H, headDim) of `dtype`: FLOAT32, FLOAT16 or
 * BFLOAT16.
 *  \param output   The same; may be `input` itself, for a turn in place.
 *  Errors: pointers, sizes, positions. Allocates nothing once its table has the positions. */
int32_t ek_rotate(const ek_rotary *rotary, const void *input, void *output, int32_t dtype,
                  int64_t batch, int64_t heads, int64_t context, const ek_rotate_options *options);

/** Writes the cosines and sines of `count` positions from `first` on, each (count, rotary_dim / 2),
 * the attention factor included. */
int32_t ek_rotary_rows(const ek_rotary *rotary, int64_t first, int64_t count, float *cosines,
                       float *sines);

void ek_rotary_destroy(ek_rotary *rotary);

/* ------------------------------------------------------------------------------------------------
 * Attention biases of positions
 * --------------------------------------------------------------------------------------------- */

/** A bias that is added to attention logits. */
typedef struct ek_bias ek_bias;

/** ALiBi: -slope * distance, or of its magnitude where `symmetric` is not 0.
 *
 *  \param slopes   (heads), or NULL for the published ones. */
int32_t ek_bias_alibi(int64_t heads, const double *slopes, int32_t symmetric, ek_bias **bias);

/** T5's bias: distances fall into buckets.
 *
 *  \param weights   (buckets, heads), read at each `ek_bias_set_weights`; copied here. */
int32_t ek_bias_t5(int64_t buckets, int64_t maximum_distance, int32_t bidirectional,
                   const float *weights, int64_t heads, ek_bias **bias);

/** KERPLE's kernels of the distance's magnitude n: -p * ln(1 + a * n), or -a * n^p. */
enum { EK_KERPLE_LOGARITHMIC = 0, EK_KERPLE_POWER = 1 };

/** KERPLE.
 *
 *  \param kernel       EK_KERPLE_...
 *  \param parameters   (2, heads), copied: p of each head, then a. Both are taken as at least 0.01,
 * and p of the power kernel as at most 2. */
int32_t ek_bias_kerple(int32_t kernel, const float *parameters, int64_t heads, ek_bias **bias);

/** FIRE: a network of one hidden layer over ln(c * n + 1) / (ln(c * max(i, L) + 1) + epsilon), for
 *  the distance n of query i.
 *
 *  \param width               Units of the hidden layer, such as 32.
 *  \param initial_threshold   L before its trained factor, such as 512. \param epsilon such as
 * 1e-6.
 *  \param parameters          2 * width + heads * width + heads + 2 numbers, copied: w1 (width), b1
 * (width), w2 (heads, width), b2 (heads), c, L's factor. */
int32_t ek_bias_fire(int64_t heads, int64_t width, double initial_threshold, double epsilon,
                     const float *parameters, ek_bias **bias);

/** Sandwich: what sinusoids of `dim` numbers would add to a logit. Nothing is trained. */
int32_t ek_bias_sandwich(int64_t heads, int64_t dim, double base, ek_bias **bias);

/** Swin's bias of a window of rows and columns, row by row.
 *
 *  \param weights   ((2 * rows - 1) * (2 * columns - 1), heads), copied. */
int32_t ek_bias_swin(int64_t rows, int64_t columns, const float *weights, int64_t heads,
                     ek_bias **bias);

/** Takes new weights of a bias of T5, KERPLE, FIRE or Swin, `count` as they were given, after
 *  training moved them. Errors: EK_ERROR_UNSUPPORTED for a bias without; EK_ERROR_INVALID_VALUE for
 *  weights that FIRE refuses, whose old ones stay. */
int32_t ek_bias_set_weights(ek_bias *bias, const float *weights, int64_t count);

/** Bits of a mask: which logits become minus infinity. */
enum { EK_MASK_NONE = 0, EK_MASK_CAUSAL = 1, EK_MASK_DOCUMENTS = 2, EK_MASK_PADDING = 4 };

typedef struct ek_bias_options {
  /** sizeof(ek_bias_options) */
  size_t struct_size;
  /** EK_MASK_... */
  int32_t mask;
  int32_t threads;
  /** Where the queries stand (B, Q), and the keys (B, K). */
  const ek_positions *queries;
  const ek_positions *keys;
} ek_bias_options;

#define EK_BIAS_OPTIONS_INIT {sizeof(ek_bias_options), EK_MASK_NONE, 0, NULL, NULL}

/** Writes the bias and the mask, (B, H, Q, K) of `dtype`: FLOAT32, FLOAT16 or BFLOAT16. */
int32_t ek_bias_write(const ek_bias *bias, void *output, int32_t dtype, int64_t batch,
                      int64_t heads, int64_t queries, int64_t keys, const ek_bias_options *options);

/** Adds it to logits (B, H, Q, K). */
int32_t ek_bias_add(const ek_bias *bias, void *logits, int32_t dtype, int64_t batch, int64_t heads,
                    int64_t queries, int64_t keys, const ek_bias_options *options);

/** Adds to `gradient`, of the shape that the bias's weights were given in, theirs from that of the
 *  logits. Errors: EK_ERROR_UNSUPPORTED for a bias without weights. */
int32_t ek_bias_backward(const ek_bias *bias, const void *logits_gradient, int32_t dtype,
                         int64_t batch, int64_t heads, int64_t queries, int64_t keys,
                         float *gradient, const ek_bias_options *options);

void ek_bias_destroy(ek_bias *bias);

/* ------------------------------------------------------------------------------------------------
 * The output head that shares the token table. Needs OpenBLAS: EK_ERROR_UNAVAILABLE_LIBRARY
 * without.
 * --------------------------------------------------------------------------------------------- */

/** logits = scale * hidden * table^T, all FLOAT32.
 *
 *  \param hidden   (rows, D). \param table (V, D). \param logits (rows, V), apart from both. */
int32_t ek_tied_logits(const float *hidden, int64_t rows, const float *table, int64_t vocabulary,
                       int64_t dim, float scale, float *logits);

/** hidden_gradient = scale * logit_gradient * table;
 *  table_gradient += scale * logit_gradient^T * hidden.
 *
 *  \param hidden_gradient   (rows, D), overwritten. \param table_gradient (V, D), added to. */
int32_t ek_tied_backward(const float *logit_gradient, const float *hidden, int64_t rows,
                         const float *table, int64_t vocabulary, int64_t dim, float scale,
                         float *hidden_gradient, float *table_gradient);

/* ------------------------------------------------------------------------------------------------
 * Layers
 * --------------------------------------------------------------------------------------------- */

/** An input layer: token, position and segment tables, normalisation and dropout, FLOAT32. */
typedef struct ek_layer ek_layer;

typedef struct ek_layer_options {
  /** sizeof(ek_layer_options) */
  size_t struct_size;
  /** Tables to share; only `tokens` is needed. `gamma` and `beta` have one row. */
  ek_table *tokens;
  ek_table *positions;
  ek_table *segments;
  ek_table *gamma;
  ek_table *beta;
  /** EK_NORM_...; for `ek_layer_load` what the file's parameters stand for, NONE for layer norm
   * where it has some. */
  int32_t norm;
  int32_t unknown_ids;
  int32_t position_overflow;
  /** 1 where position rows are not trained. */
  int32_t positions_fixed;
  float scale;
  float epsilon;
  float dropout_rate;
  int32_t reserved;
  uint64_t dropout_seed;
  /** An id whose row is 0 and never trained, or -1. */
  int64_t padding_id;
} ek_layer_options;

#define EK_LAYER_OPTIONS_INIT \
  {sizeof(ek_layer_options),  \
   NULL,                      \
   NULL,                      \
   NULL,                      \
   NULL,                      \
   NULL,                      \
   EK_NORM_NONE,              \
   EK_UNKNOWN_ERROR,          \
   EK_OVERFLOW_ERROR,         \
   0,                         \
   1.0f,                      \
   1e-5f,                     \
   0.0f,                      \
   0,                         \
   0,                         \
   -1}

/** Composes a layer. The padding row is set to 0.
 *  Errors: EK_ERROR_INVALID_SIZE for tables of different dims, EK_ERROR_INVALID_VALUE. */
int32_t ek_layer_create(const ek_layer_options *options, ek_layer **layer);

/** Reads the input layer of a published model: a safetensors file, an index of shards or a folder.
 * The tables of `options` must be NULL. */
int32_t ek_layer_load(const char *path, const ek_layer_options *options, ek_layer **layer);

/** Writes it as a safetensors file, whole or not at all. */
int32_t ek_layer_save(const ek_layer *layer, const char *path);

/** The parts of a layer. */
enum {
  EK_PART_TOKENS = 0,
  EK_PART_POSITIONS = 1,
  EK_PART_SEGMENTS = 2,
  EK_PART_GAMMA = 3,
  EK_PART_BETA = 4
};

/** A handle of a part's table, to be destroyed by the caller; NULL where the layer has none. */
int32_t ek_layer_table(const ek_layer *layer, int32_t part, ek_table **table);

typedef struct ek_layer_call {
  /** sizeof(ek_layer_call) */
  size_t struct_size;
  const ek_positions *place;
  /** (B, T) of the ids' type, or NULL for segment 0. */
  const void *segment_ids;
  /** Which dropout mask to take; negative drops nothing, as in inference. */
  int64_t training_step;
  int32_t backend;
  int32_t threads;
} ek_layer_call;

#define EK_LAYER_CALL_INIT {sizeof(ek_layer_call), NULL, NULL, -1, EK_BACKEND_AUTO, 0}

/** Computes the input embeddings of a batch, (B, T, D). Rows that optimisers left behind are
 * brought up to date first. `call` may be NULL. Allocates nothing. */
int32_t ek_layer_forward(const ek_layer *layer, const void *ids, int32_t id_dtype, int64_t batch,
                         int64_t context, float *output, const ek_layer_call *call);

/** The gradients of a layer. */
typedef struct ek_layer_gradient ek_layer_gradient;

/** Gradients for a layer; the memory grows to the largest batch and stays. */
int32_t ek_layer_gradient_create(const ek_layer *layer, ek_layer_gradient **gradient);

/** Computes the gradients of a batch. Those of tokens and positions replace what was there; those
 * of segments, gamma and beta are added to it until `ek_layer_gradient_clear`. */
int32_t ek_layer_backward(const ek_layer *layer, ek_layer_gradient *gradient,
                          const float *output_gradient, const void *ids, int32_t id_dtype,
                          int64_t batch, int64_t context, const ek_layer_call *call);

/** A part's gradient: `count` rows of `dim` floats. `rows` are their numbers, rising, for tokens
 * and positions; NULL for the others, of which all rows are there. Valid until the next call on it.
 */
int32_t ek_layer_gradient_get(const ek_layer_gradient *gradient, int32_t part, int64_t *count,
                              int64_t *dim, const int32_t **rows, const float **values);

int32_t ek_layer_gradient_clear(ek_layer_gradient *gradient);
void ek_layer_gradient_destroy(ek_layer_gradient *gradient);
void ek_layer_destroy(ek_layer *layer);

/* ------------------------------------------------------------------------------------------------
 * Safetensors and NumPy files. Paths are UTF-8.
 * --------------------------------------------------------------------------------------------- */

/** An open file; its pages are mapped, and read when they are touched. */
typedef struct ek_safetensors ek_safetensors;

/** A tensor of a file, or one to be written. What the library fills in lives as long as the file is
 * open. */
typedef struct ek_tensor {
  const char *name;
  /** EK_DTYPE_...; EK_DTYPE_OTHER for types without a number here. */
  int32_t dtype;
  int32_t rank;
  const int64_t *shape;
  const void *data;
  int64_t bytes;
  /** Safetensors' name of the type, such as "BF16"; for writing NULL, or a name where `dtype` is
   * OTHER. */
  const char *dtype_name;
} ek_tensor;

/** Opens a file and checks its header against its size; or the shards that an index
 *  (`model.safetensors.index.json`) lists, as one file: tensors in the index's order, metadata that
 *  all shards agree on; or what a folder holds of the two. Errors: EK_ERROR_FILE_...;
 * EK_ERROR_MODEL for a folder with neither and for a shard outside the index's folder;
 * EK_ERROR_MISSING_TENSOR for one that the shard lacks. */
int32_t ek_safetensors_open(const char *path, ek_safetensors **file);
/** The number of tensors. */
int32_t ek_safetensors_count(const ek_safetensors *file, int64_t *count);
/** Tensor `index`, in the order of their data. Errors: EK_ERROR_INDEX_OUT_OF_RANGE. */
int32_t ek_safetensors_tensor(const ek_safetensors *file, int64_t index, ek_tensor *tensor);
/** The tensor called `name`. Errors: EK_ERROR_MISSING_TENSOR, with the names nearest to it. */
int32_t ek_safetensors_find(const ek_safetensors *file, const char *name, ek_tensor *tensor);
/** The number of metadata entries; entry `index`, in the order of their keys. */
int32_t ek_safetensors_metadata_count(const ek_safetensors *file, int64_t *count);
int32_t ek_safetensors_metadata(const ek_safetensors *file, int64_t index, const char **key,
                                const char **value);
void ek_safetensors_destroy(ek_safetensors *file);

/** Writes a file, whole or not at all: `count` tensors and `metadata_count` pairs of key and value.
 *  `metadata` may be NULL with 0. Errors: EK_ERROR_WRONG_ELEMENT_COUNT for `bytes` that are not the
 * shape's, EK_ERROR_FILE_.... */
int32_t ek_safetensors_write(const char *path, const ek_tensor *tensors, int64_t count,
                             const char *const *metadata, int64_t metadata_count);

/** An array of an .npy file. */
typedef struct ek_npy ek_npy;

/** Opens an array. `array` gets its type, shape and mapped data, which live until it is destroyed.
 *  Arrays of big-endian machines are refused by name; a matrix in Fortran's order is transposed. */
int32_t ek_npy_open(const char *path, ek_npy **file, ek_tensor *array);
void ek_npy_destroy(ek_npy *file);

/** Writes an array, whole or not at all. `dtype` is any but OTHER; BFLOAT16 as NumPy's void of two
 * bytes. */
int32_t ek_npy_write(const char *path, const void *data, int32_t dtype, int32_t rank,
                     const int64_t *shape);

/* ------------------------------------------------------------------------------------------------
 * Text, tokens and windows
 * --------------------------------------------------------------------------------------------- */

typedef struct ek_tokenizer ek_tokenizer;

/** Opens a byte-pair vocabulary: GPT-2's files or their folder, a .tiktoken file; NULL for a
 * tokenizer of bytes, whose ids are 0 to 255. */
int32_t ek_tokenizer_open(const char *path, ek_tokenizer **tokenizer);

/** How text that spells a special token is encoded. */
enum { EK_SPECIAL_ORDINARY = 0, EK_SPECIAL_RECOGNISED = 1, EK_SPECIAL_REFUSED = 2 };

/** Encodes `length` bytes.
 *
 *  \param ids     Room for `capacity`; `length` always does. May be NULL with 0 to ask for the
 * count.
 *  \param count   The number of ids.
 *  Errors: EK_ERROR_TEXT, EK_ERROR_SPECIAL_TOKEN; EK_ERROR_BUFFER_TOO_SMALL with `count` set. */
int32_t ek_tokenizer_encode(const ek_tokenizer *tokenizer, const char *text, size_t length,
                            int32_t special, int32_t *ids, int64_t capacity, int64_t *count);
/** The same ids, by several threads where `length` is 256 KiB or more. \param threads As in
 * ek_embed_options. */
int32_t ek_tokenizer_encode_threads(const ek_tokenizer *tokenizer, const char *text, size_t length,
                                    int32_t special, int32_t threads, int32_t *ids,
                                    int64_t capacity, int64_t *count);

/** Decodes ids of `id_dtype` into bytes, which need not be UTF-8 where a token holds part of a
 * character. Nothing is appended to them. Errors: EK_ERROR_UNKNOWN_TOKEN; EK_ERROR_BUFFER_TOO_SMALL
 * with `length` set. */
int32_t ek_tokenizer_decode(const ek_tokenizer *tokenizer, const void *ids, int32_t id_dtype,
                            int64_t count, char *text, size_t capacity, size_t *length);

/** One more than the largest id. */
int32_t ek_tokenizer_vocabulary(const ek_tokenizer *tokenizer, int64_t *size);
/** The id of the special token of `name`, or -1 where there is none. */
int32_t ek_tokenizer_special(const ek_tokenizer *tokenizer, const char *name, int32_t *id);
void ek_tokenizer_destroy(ek_tokenizer *tokenizer);

/** Sliding windows over tokens, in batches: rows of `context` tokens, and the same one later. */
typedef struct ek_windows ek_windows;

typedef struct ek_windows_options {
  /** sizeof(ek_windows_options) */
  size_t struct_size;
  int64_t context;
  /** Tokens between windows; 0 for `context`. */
  int64_t stride;
  int64_t batch;
  /** 1 keeps the last batch where it is not full. */
  int32_t keeps_last;
  /** 1 for a pseudorandom order of seed and epoch. */
  int32_t shuffled;
  uint64_t seed;
  uint64_t epoch;
} ek_windows_options;

#define EK_WINDOWS_OPTIONS_INIT {sizeof(ek_windows_options), 0, 0, 0, 0, 0, 0, 0}

/** Windows over `count` ids, which are copied. */
int32_t ek_windows_over_ids(const void *ids, int32_t id_dtype, int64_t count,
                            const ek_windows_options *options, ek_windows **windows);
/** Windows over a token file of `width` 2 or 4 bytes a token, which is mapped. */
int32_t ek_windows_over_file(const char *path, int32_t width, const ek_windows_options *options,
                             ek_windows **windows);
/** The number of batches, and of windows. */
int32_t ek_windows_count(const ek_windows *windows, int64_t *batches, int64_t *windows_held);
/** Fills batch `index`.
 *
 *  \param inputs    (batch, context); \param targets likewise.
 *  \param rows      The rows filled: fewer in a last batch.
 *  Errors: EK_ERROR_INDEX_OUT_OF_RANGE. */
int32_t ek_windows_fill(const ek_windows *windows, int64_t index, int32_t *inputs, int32_t *targets,
                        int64_t *rows);
void ek_windows_destroy(ek_windows *windows);

/** Writes ids as a token file of `width` 2 or 4 bytes, whole or not at all. */
int32_t ek_token_file_write(const char *path, const void *ids, int32_t id_dtype, int64_t count,
                            int32_t width);

#ifdef __cplusplus
}
#endif

#endif
