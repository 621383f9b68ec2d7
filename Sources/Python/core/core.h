// The C extension `embedkernel._core`: NumPy arrays in, calls of the C library, NumPy arrays out.
//
// Built on the limited API (abi3) of Python 3.11 and on NumPy's C API, so that one library serves
// every later CPython. A function checks what the C library can't know, that is types, strides and
// who owns memory; sizes, ids and overlaps are the library's to check.
#ifndef EMBEDKERNEL_CORE_H
#define EMBEDKERNEL_CORE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#define NPY_NO_DEPRECATED_API NPY_1_25_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL embedkernel_core_numpy
#ifndef CORE_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <stdbool.h>
#include <stdint.h>

#include "embedkernel.h"

// MARK: Arguments

enum { MOST_ARGUMENTS = 32 };

/// What a function takes: names in order, of which the first `positional` may come without their
/// name and the first `required` must come.
typedef struct signature {
  const char *function;
  int required, positional;
  const char *names[MOST_ARGUMENTS];
  /// The same names as Python's interned strings, made at the first call.
  PyObject *interned[MOST_ARGUMENTS];
  int count;
} signature;

/// Sorts a call's arguments into `values` by the order of names, borrowed; NULL for one that is
/// missing or None. False, with TypeError, for one too many, twice or unknown.
bool read_arguments(signature *takes, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
                    PyObject **values);

bool read_int64(PyObject *value, const char *name, int64_t *result);
bool read_double(PyObject *value, const char *name, double *result);
bool read_bool(PyObject *value, const char *name, bool *result);
/// The index of a word among `words`, which end with NULL; ValueError names what is expected.
bool read_word(PyObject *value, const char *name, const char *const *words, int *result);
/// A path as bytes of the file system, a new reference, which `text` points into.
PyObject *read_path(PyObject *value, const char *name, const char **text);

// MARK: Arrays

/// Element types that an argument may have, as a set.
enum {
  FLOAT32 = 1,
  BFLOAT16 = 2,
  FLOAT16 = 4,
  INT32 = 8,
  INT64 = 16,
  /// Of an optimiser's state alone.
  INT8 = 32,
  ANY_FLOAT = FLOAT32 | BFLOAT16 | FLOAT16,
  ANY_ID = INT32 | INT64,
};

/// An array that a call reads or writes: C-contiguous, aligned, in the machine's byte order.
typedef struct view {
  void *data;
  int type;
  int ndim;
  const npy_intp *shape;
  npy_intp count;
  /// The array itself, borrowed from the call, or owned by the view where it had to be made.
  PyArrayObject *array;
  PyObject *made;
} view;

/// Reads an argument as an array of one of `types`. Never copies.
bool read_array(PyObject *value, const char *name, int types, view *result);
/// The same for one that the call writes to.
bool read_output(PyObject *value, const char *name, int types, view *result);
/// Reads a mask: booleans or integers, copied as booleans where they are not bytes that lie in
/// order.
bool read_mask(PyObject *value, const char *name, view *result);
/// Reads ids: any integers, which are copied where they are not a contiguous int32 or int64 array.
bool read_ids(PyObject *value, const char *name, view *result);
/// Has the shape, where a dimension of -1 is any; else ValueError with both.
bool has_shape(const view *array, const char *name, int ndim, const npy_intp *shape);
void release(view *array);

/// A new array, from the library's buffers where it is large, without values.
PyArrayObject *new_array(int ndim, const npy_intp *shape, int type);
/// `out` if the call gave it, checked for its shape and type, else a new array: a new reference.
PyArrayObject *output_array(PyObject *out, int ndim, const npy_intp *shape, int type);
/// The same where `out` may be of any floating type: `type` is a new array's, and then the
/// result's.
PyArrayObject *float_output_array(PyObject *out, int ndim, const npy_intp *shape, int *type);
/// A new float32 array of zeros where `wanted`, else NULL without an error.
PyArrayObject *zeros(bool wanted, int ndim, const npy_intp *shape);
/// The array, or None where it is NULL.
PyObject *array_or_none(PyArrayObject *array);
/// An array's memory, NULL where it is NULL.
void *memory(PyArrayObject *array);
/// An array's first `count` rows, which share its memory; takes the reference.
PyObject *first_rows(PyArrayObject *array, int64_t count);
/// An array over memory that `owner` keeps alive; takes the reference to `owner`.
PyArrayObject *array_over(void *data, int ndim, const npy_intp *shape, int type, bool writable,
                          PyObject *owner);

/// The library's code of an element type, and back.
int32_t element_code(int type);
int element_type(int32_t code);
const char *type_name(int type);
/// NumPy's description of a type, a new reference. bfloat16 is that of ml_dtypes.
PyArray_Descr *type_description(int type);

/// An array over what another library shows by `__dlpack__`, a new reference.
PyObject *array_from_dlpack(PyObject *value);

/// Reads an output's gradient; one of 16-bit elements as a copy in floats, which is exact.
bool read_output_gradient(PyObject *value, view *result);

/// Reads what may be missing: true with no array where `value` is NULL.
bool read_optional(PyObject *value, const char *name, int types, view *result);
/// The memory of a view that may have no array.
static inline void *data_of(const view *array) { return array->array == NULL ? NULL : array->data; }

// MARK: Batches of ids

enum { MOST_DIMENSIONS = 8 };

/// What a forward call and its backward read alike.
typedef struct batch {
  view ids;
  npy_intp rows, context;
  /// The ids' shape, and dim behind it.
  int ndim;
  npy_intp shape[MOST_DIMENSIONS + 1];
} batch;

/// Reads ids of one to MOST_DIMENSIONS dimensions, the last of which is the context.
bool read_batch(PyObject *value, batch *result);
/// Whether a table has rows of `dim`, or of any length where it is -1.
bool is_table(const view *table, const char *name, npy_intp dim);

/// Embeds from quantised rows, a capsule; `values` are those of `embed` in its order.
PyObject *embed_from_rows(PyObject *table, PyObject **values);

// MARK: Where tokens stand

/// What says where tokens stand, and the memory it was read from.
typedef struct place {
  ek_positions positions;
  view numbers;
  bool given;
} place;

/// Names of the four arguments that `read_place` takes, of which one may be given.
#define PLACE_ARGUMENTS "offset", "position_ids", "cumulative_lengths", "mask"
enum { PLACE_COUNT = 4 };

/// Reads where the tokens of a batch stand from four arguments in the order of their names.
bool read_place(PyObject **values, npy_intp batch, npy_intp context, place *result);
/// NULL where nothing was said.
static inline const ek_positions *given_place(const place *said) {
  return said->given ? &said->positions : NULL;
}

// MARK: Words that several functions take

extern const char *const unknown_words[];
extern const char *const overflow_words[];
extern const char *const backend_words[];
extern const char *const norm_words[];

/// Reads a word where it is given; `result` keeps its number where it is not.
bool read_choice(PyObject *value, const char *name, const char *const *words, int32_t *result);
/// The same for numbers.
bool read_optional_int32(PyObject *value, const char *name, int32_t *result);
bool read_optional_int64(PyObject *value, const char *name, int64_t *result);
bool read_optional_uint64(PyObject *value, const char *name, uint64_t *result);
bool read_optional_float(PyObject *value, const char *name, float *result);
bool read_optional_double(PyObject *value, const char *name, double *result);
bool read_optional_bool(PyObject *value, const char *name, int32_t *result);

// MARK: Handles

/// Handles of the library live in capsules, whose death destroys them. The name tells their kind.
PyObject *handle_capsule(void *handle, const char *kind, PyCapsule_Destructor destroy);
/// A capsule's handle; TypeError for anything else.
void *read_handle(PyObject *value, const char *kind);
extern const char *const table_kind;
extern const char *const rows_kind;
extern const char *const optimizer_kind;

// MARK: Errors

/// Raises the library's last error of this thread. Returns NULL.
PyObject *raise_last_error(int32_t code);

// MARK: Threads

/// Bytes of work from which the interpreter's lock is given back meanwhile: some 10 microseconds.
enum { WORTH_RELEASING = 64 * 1024 };

#define WITHOUT_LOCK(bytes, call)                                                   \
  do {                                                                              \
    PyThreadState *saved = (bytes) >= WORTH_RELEASING ? PyEval_SaveThread() : NULL; \
    call;                                                                           \
    if (saved != NULL) PyEval_RestoreThread(saved);                                 \
  } while (0)

// MARK: Functions of the module

/// Those that users call, and those that the package's classes do.
// clang-format off
#define PUBLIC_FUNCTIONS(EACH)                                                     \
  EACH(embed) EACH(embed_fused) EACH(embed_fused_backward) EACH(normalize)         \
  EACH(normalize_backward) EACH(renormalize) EACH(tied_logits) EACH(tied_backward) \
  EACH(convert) EACH(from_dlpack)

#define PRIVATE_FUNCTIONS(EACH)                                                               \
  EACH(backward) EACH(backward_sparse) EACH(dlpack_capsule) EACH(table_create)                \
  EACH(table_over) EACH(table_array) EACH(table_synchronise) EACH(table_draw)                 \
  EACH(optimizer_create) EACH(optimizer_step) EACH(optimizer_catch_up) EACH(optimizer_info)   \
  EACH(optimizer_state) EACH(optimizer_set_step_count) EACH(rotary_create)                    \
  EACH(rotary_from_config) EACH(rotary_layer_types) EACH(rotary_info) EACH(rotary_rotate)     \
  EACH(rotary_rows) EACH(bias_alibi) EACH(bias_t5) EACH(bias_kerple) EACH(bias_fire)          \
  EACH(bias_sandwich) EACH(bias_swin) EACH(bias_set_weights) EACH(bias_write) EACH(bias_add)  \
  EACH(bias_backward) EACH(layer_create) EACH(layer_load) EACH(layer_save) EACH(layer_table)  \
  EACH(layer_forward) EACH(layer_gradient) EACH(layer_backward) EACH(layer_gradient_part)     \
  EACH(layer_gradient_clear) EACH(safetensors_open) EACH(safetensors_write) EACH(npy_open)    \
  EACH(npy_write) EACH(tokenizer_open) EACH(tokenizer_encode) EACH(tokenizer_decode)          \
  EACH(tokenizer_info) EACH(windows_over_ids) EACH(windows_over_file) EACH(windows_count)     \
  EACH(windows_fill) EACH(token_file_write) EACH(pool_info) EACH(pool_set_limit)              \
  EACH(pool_clear) EACH(set_threads) EACH(info) EACH(tensors_setup) EACH(bag)                 \
  EACH(bag_backward) EACH(bag_weight_gradient) EACH(optimizer_step_bags) EACH(rows_format)    \
  EACH(rows_quantize) EACH(rows_wrap) EACH(rows_info) EACH(rows_decode) EACH(rows_embed)  \
  EACH(rows_map) EACH(rows_prefetch)
// clang-format on

#define FUNCTION(name)                                                                \
  PyObject *core_##name(PyObject *self, PyObject *const *arguments, Py_ssize_t count, \
                        PyObject *names)

#define DECLARE(name) FUNCTION(name);
PUBLIC_FUNCTIONS(DECLARE)
PRIVATE_FUNCTIONS(DECLARE)
#undef DECLARE

/// Those that are called at every step of a small batch: their arguments have no names.
#define QUICK_FUNCTIONS(EACH) EACH(tensors_embed) EACH(tensors_forward)

#define DECLARE(name) \
  PyObject *core_##name(PyObject *self, PyObject *const *arguments, Py_ssize_t count);
QUICK_FUNCTIONS(DECLARE)
#undef DECLARE

/// Opens a function: its arguments by name, and `values` in that order.
#define TAKES(function, required, positional, ...)                                      \
  (void)self;                                                                           \
  static signature takes = {#function, required, positional, {__VA_ARGS__}, {NULL}, 0}; \
  PyObject *values[MOST_ARGUMENTS];                                                     \
  if (!read_arguments(&takes, arguments, count, names, values)) return NULL

#endif
