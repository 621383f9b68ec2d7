// Tokenizers, and windows over tokens.
#include "core.h"

static const char *const tokenizer_kind = "embedkernel.tokenizer";
static const char *const windows_kind = "embedkernel.windows";

static void destroy_tokenizer(PyObject *capsule) {
  ek_tokenizer_destroy(PyCapsule_GetPointer(capsule, tokenizer_kind));
}

static void destroy_windows(PyObject *capsule) {
  ek_windows_destroy(PyCapsule_GetPointer(capsule, windows_kind));
}

// MARK: Tokenizers

/// Opens a vocabulary, or the tokenizer of bytes without a path.
FUNCTION(tokenizer_open) {
  TAKES(tokenizer_open, 0, 1, "path");
  PyObject *path = NULL;
  const char *name = NULL;
  if (values[0] != NULL && (path = read_path(values[0], "path", &name)) == NULL) return NULL;
  ek_tokenizer *tokenizer = NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_tokenizer_open(name, &tokenizer));
  Py_XDECREF(path);
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = handle_capsule(tokenizer, tokenizer_kind, destroy_tokenizer);
  if (capsule == NULL) ek_tokenizer_destroy(tokenizer);
  return capsule;
}

/// A text's bytes: UTF-8 of a string, or bytes as they are.
static bool read_text(PyObject *value, const char **text, Py_ssize_t *length) {
  if (PyUnicode_Check(value)) {
    *text = PyUnicode_AsUTF8AndSize(value, length);
    return *text != NULL;
  }
  if (PyBytes_Check(value)) return PyBytes_AsStringAndSize(value, (char **)text, length) == 0;
  PyErr_Format(PyExc_TypeError, "text is a %R: expected a string or bytes",
               (PyObject *)Py_TYPE(value));
  return false;
}

FUNCTION(tokenizer_encode) {
  static const char *const special_words[] = {"ordinary", "recognised", "refused", NULL};
  TAKES(tokenizer_encode, 2, 2, "tokenizer", "text", "special", "threads");
  ek_tokenizer *tokenizer = read_handle(values[0], tokenizer_kind);
  int32_t special = EK_SPECIAL_ORDINARY, threads = 1;
  const char *text;
  Py_ssize_t length;
  if (tokenizer == NULL || !read_choice(values[2], "special", special_words, &special) ||
      !read_optional_int32(values[3], "threads", &threads) || !read_text(values[1], &text, &length))
    return NULL;
  // Room for as many ids as bytes; what they leave was never touched, and is given back.
  npy_intp shape[] = {(npy_intp)length};
  PyArrayObject *array = (PyArrayObject *)PyArray_SimpleNew(1, shape, NPY_INT32);
  if (array == NULL) return NULL;
  int64_t tokens = 0;
  int32_t code;
  WITHOUT_LOCK(length * 16,
               code = ek_tokenizer_encode_threads(tokenizer, text, (size_t)length, special, threads,
                                                  PyArray_DATA(array), length, &tokens));
  if (code != EK_OK) {
    Py_DECREF(array);
    return raise_last_error(code);
  }
  shape[0] = (npy_intp)tokens;
  PyArray_Dims dims = {shape, 1};
  PyObject *none = PyArray_Resize(array, &dims, 0, NPY_CORDER);
  Py_XDECREF(none);
  if (none == NULL) Py_CLEAR(array);
  return (PyObject *)array;
}

FUNCTION(tokenizer_decode) {
  TAKES(tokenizer_decode, 2, 2, "tokenizer", "ids");
  ek_tokenizer *tokenizer = read_handle(values[0], tokenizer_kind);
  view ids;
  if (tokenizer == NULL || !read_ids(values[1], "ids", &ids)) return NULL;
  size_t length = 0;
  PyObject *text = NULL;
  int32_t code = EK_OK;
  if (ids.count > 0) {
    code = ek_tokenizer_decode(tokenizer, ids.data, element_code(ids.type), ids.count, NULL, 0,
                               &length);
    if (code == EK_ERROR_BUFFER_TOO_SMALL) code = EK_OK;
  }
  if (code == EK_OK) text = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)length);
  if (text != NULL && length > 0) {
    code = ek_tokenizer_decode(tokenizer, ids.data, element_code(ids.type), ids.count,
                               PyBytes_AsString(text), length, &length);
  }
  if (code != EK_OK) {
    Py_CLEAR(text);
    raise_last_error(code);
  }
  release(&ids);
  return text;
}

/// The vocabulary's size, or with a name that special token's id, -1 where there is none.
FUNCTION(tokenizer_info) {
  TAKES(tokenizer_info, 1, 2, "tokenizer", "special");
  ek_tokenizer *tokenizer = read_handle(values[0], tokenizer_kind);
  if (tokenizer == NULL) return NULL;
  int64_t size = 0;
  int32_t id = -1, code;
  if (values[1] == NULL) {
    code = ek_tokenizer_vocabulary(tokenizer, &size);
  } else {
    const char *name = PyUnicode_AsUTF8AndSize(values[1], NULL);
    if (name == NULL) return NULL;
    code = ek_tokenizer_special(tokenizer, name, &id);
    size = id;
  }
  return code == EK_OK ? PyLong_FromLongLong(size) : raise_last_error(code);
}

// MARK: Windows

#define WINDOW_ARGUMENTS "context", "batch", "stride", "keep_last", "seed", "epoch"

static bool read_windows(PyObject **rest, ek_windows_options *options) {
  options->shuffled = rest[4] != NULL;
  return read_int64(rest[0], "context", &options->context) &&
         read_int64(rest[1], "batch", &options->batch) &&
         read_optional_int64(rest[2], "stride", &options->stride) &&
         read_optional_bool(rest[3], "keep_last", &options->keeps_last) &&
         read_optional_uint64(rest[4], "seed", &options->seed) &&
         read_optional_uint64(rest[5], "epoch", &options->epoch);
}

static PyObject *windows_capsule(int32_t code, ek_windows *windows) {
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = handle_capsule(windows, windows_kind, destroy_windows);
  if (capsule == NULL) ek_windows_destroy(windows);
  return capsule;
}

FUNCTION(windows_over_ids) {
  TAKES(windows_over_ids, 3, 1, "ids", WINDOW_ARGUMENTS);
  ek_windows_options options = EK_WINDOWS_OPTIONS_INIT;
  view ids;
  const npy_intp any[] = {-1};
  if (!read_windows(values + 1, &options) || !read_ids(values[0], "ids", &ids)) return NULL;
  ek_windows *windows = NULL;
  PyObject *result = NULL;
  if (has_shape(&ids, "ids", 1, any)) {
    int32_t code;
    WITHOUT_LOCK(ids.count * 4, code = ek_windows_over_ids(ids.data, element_code(ids.type),
                                                           ids.count, &options, &windows));
    result = windows_capsule(code, windows);
  }
  release(&ids);
  return result;
}

FUNCTION(windows_over_file) {
  TAKES(windows_over_file, 3, 1, "path", WINDOW_ARGUMENTS, "width");
  ek_windows_options options = EK_WINDOWS_OPTIONS_INIT;
  int32_t width = 2;
  if (!read_windows(values + 1, &options) || !read_optional_int32(values[7], "width", &width)) {
    return NULL;
  }
  const char *name;
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  ek_windows *windows = NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_windows_over_file(name, width, &options, &windows));
  Py_DECREF(path);
  return windows_capsule(code, windows);
}

/// Returns (batches, windows).
FUNCTION(windows_count) {
  TAKES(windows_count, 1, 1, "windows");
  ek_windows *windows = read_handle(values[0], windows_kind);
  if (windows == NULL) return NULL;
  int64_t batches, held;
  int32_t code = ek_windows_count(windows, &batches, &held);
  if (code != EK_OK) return raise_last_error(code);
  return Py_BuildValue("LL", (long long)batches, (long long)held);
}

/// Batch `index` of `batch` rows of `context`: (inputs, targets).
FUNCTION(windows_fill) {
  TAKES(windows_fill, 4, 4, "windows", "index", "batch", "context");
  ek_windows *windows = read_handle(values[0], windows_kind);
  int64_t index, rows, context;
  if (windows == NULL || !read_int64(values[1], "index", &index) ||
      !read_int64(values[2], "batch", &rows) || !read_int64(values[3], "context", &context))
    return NULL;
  const npy_intp shape[] = {(npy_intp)rows, (npy_intp)context};
  PyArrayObject *inputs = new_array(2, shape, INT32), *targets = new_array(2, shape, INT32);
  int64_t filled = 0;
  if (inputs != NULL && targets != NULL) {
    int32_t code = ek_windows_fill(windows, index, memory(inputs), memory(targets), &filled);
    if (code != EK_OK) raise_last_error(code);
  }
  if (PyErr_Occurred()) {
    Py_XDECREF((PyObject *)inputs);
    Py_XDECREF((PyObject *)targets);
    return NULL;
  }
  return Py_BuildValue("NN", first_rows(inputs, filled), first_rows(targets, filled));
}

FUNCTION(token_file_write) {
  TAKES(token_file_write, 2, 2, "path", "ids", "width");
  int32_t width = 2;
  view ids;
  if (!read_optional_int32(values[2], "width", &width)) return NULL;
  const char *name;
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  PyObject *result = NULL;
  if (read_ids(values[1], "ids", &ids)) {
    int32_t code;
    WITHOUT_LOCK(WORTH_RELEASING, code = ek_token_file_write(name, ids.data, element_code(ids.type),
                                                             ids.count, width));
    result = code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
    release(&ids);
  }
  Py_DECREF(path);
  return result;
}
