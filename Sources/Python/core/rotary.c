// Rotary positions: handles of a rotation, turns of queries and keys, and the rows of its table.
#include "core.h"

static const char *const rotary_kind = "embedkernel.rotary";
static const char *const layout_words[] = {"halves", "interleaved", NULL};

static void destroy_rotary(PyObject *capsule) {
  ek_rotary_destroy(PyCapsule_GetPointer(capsule, rotary_kind));
}

static PyObject *rotary_capsule(ek_rotary *rotary) {
  PyObject *capsule = handle_capsule(rotary, rotary_kind, destroy_rotary);
  if (capsule == NULL) ek_rotary_destroy(rotary);
  return capsule;
}

/// The numbers of a scaling, which `read_scaling` reads in this order.
#define SCALING_ARGUMENTS                                                                \
  "scaling", "factor", "trained_length", "attention_factor", "fast_turns", "slow_turns", \
      "low_frequency_factor", "high_frequency_factor", "proportion", "exact_ramp",       \
      "short_factors", "long_factors"

static const char *const scaling_words[] = {
    "none",         "linear", "ntk",      "dynamic",      "yarn",
    "ntk-by-parts", "llama3", "longrope", "proportional", NULL};

/// Divisors of the pairs; `kept` keeps their memory.
static bool read_divisors(PyObject *value, const char *name, PyArrayObject **kept,
                          const double **divisors, int64_t *count) {
  if (value == NULL) return true;
  PyObject *array = PyArray_FROMANY(value, NPY_FLOAT64, 1, 1, NPY_ARRAY_CARRAY_RO);
  if (array == NULL) return false;
  *kept = (PyArrayObject *)array;
  npy_intp found = PyArray_DIM(*kept, 0);
  if (*count >= 0 && *count != found) {
    PyErr_Format(PyExc_ValueError, "%s has %zd elements: expected as many as short_factors, %lld",
                 name, found, (long long)*count);
    return false;
  }
  *count = found;
  *divisors = memory(*kept);
  return true;
}

FUNCTION(rotary_create) {
  TAKES(rotary_create, 1, 1, "head_dim", "rotary_dim", "base", "layout", SCALING_ARGUMENTS);
  int64_t head_dim, rotary_dim = 0, pairs = -1;
  double base = 10000;
  int32_t layout = EK_LAYOUT_HALVES;
  ek_rotary_scaling scaling = EK_ROTARY_SCALING_INIT;
  PyArrayObject *kept[] = {NULL, NULL};
  PyObject **more = values + 4, *result = NULL;
  ek_rotary *rotary = NULL;
  if (read_int64(values[0], "head_dim", &head_dim) &&
      read_optional_int64(values[1], "rotary_dim", &rotary_dim) &&
      read_optional_double(values[2], "base", &base) &&
      read_choice(values[3], "layout", layout_words, &layout) &&
      read_choice(more[0], "scaling", scaling_words, &scaling.kind) &&
      read_optional_double(more[1], "factor", &scaling.factor) &&
      read_optional_double(more[2], "trained_length", &scaling.trained_length) &&
      read_optional_double(more[3], "attention_factor", &scaling.attention_factor) &&
      read_optional_double(more[4], "fast_turns", &scaling.fast_turns) &&
      read_optional_double(more[5], "slow_turns", &scaling.slow_turns) &&
      read_optional_double(more[6], "low_frequency_factor", &scaling.low_frequency_factor) &&
      read_optional_double(more[7], "high_frequency_factor", &scaling.high_frequency_factor) &&
      read_optional_double(more[8], "proportion", &scaling.proportion) &&
      read_optional_bool(more[9], "exact_ramp", &scaling.ramp) &&
      read_divisors(more[10], "short_factors", &kept[0], &scaling.short_factors, &pairs) &&
      read_divisors(more[11], "long_factors", &kept[1], &scaling.long_factors, &pairs)) {
    scaling.factor_count = pairs < 0 ? 0 : pairs;
    int32_t code = ek_rotary_create_scaled(head_dim, rotary_dim, base, layout, &scaling, &rotary);
    result = code == EK_OK ? rotary_capsule(rotary) : raise_last_error(code);
  }
  Py_XDECREF((PyObject *)kept[0]);
  Py_XDECREF((PyObject *)kept[1]);
  return result;
}

/// From a configuration's text, a string of UTF-8.
FUNCTION(rotary_from_config) {
  TAKES(rotary_from_config, 1, 1, "json", "layer_type", "layout", "head_dim");
  Py_ssize_t length;
  const char *json = PyUnicode_AsUTF8AndSize(values[0], &length), *layer_type = NULL;
  int64_t head_dim = 0;
  int32_t layout = EK_LAYOUT_MODEL;
  if (json == NULL || !read_choice(values[2], "layout", layout_words, &layout) ||
      !read_optional_int64(values[3], "head_dim", &head_dim))
    return NULL;
  if (values[1] != NULL && (layer_type = PyUnicode_AsUTF8AndSize(values[1], NULL)) == NULL) {
    return NULL;
  }
  ek_rotary *rotary = NULL;
  int32_t code = ek_rotary_from_config(json, (size_t)length, layer_type, layout, head_dim, &rotary);
  return code == EK_OK ? rotary_capsule(rotary) : raise_last_error(code);
}

/// The layer types that have a rotation of their own, one a line.
FUNCTION(rotary_layer_types) {
  TAKES(rotary_layer_types, 1, 1, "json");
  Py_ssize_t length;
  const char *json = PyUnicode_AsUTF8AndSize(values[0], &length);
  if (json == NULL) return NULL;
  char text[4096];
  size_t needed = 0;
  int32_t code = ek_rotary_layer_types(json, (size_t)length, text, sizeof text, &needed);
  if (code != EK_OK) return raise_last_error(code);
  return PyUnicode_FromStringAndSize(text, (Py_ssize_t)needed);
}

/// Returns (head_dim, rotary_dim, base, layout, axes, turns_backward, attention_factor).
FUNCTION(rotary_info) {
  TAKES(rotary_info, 1, 1, "rotary");
  ek_rotary *rotary = read_handle(values[0], rotary_kind);
  ek_rotary_info info;
  if (rotary == NULL) return NULL;
  int32_t code = ek_rotary_get(rotary, &info);
  if (code != EK_OK) return raise_last_error(code);
  return Py_BuildValue("LLdsiNd", (long long)info.head_dim, (long long)info.rotary_dim, info.base,
                       layout_words[info.layout == EK_LAYOUT_INTERLEAVED], (int)info.axes,
                       PyBool_FromLong(info.turns_backward), info.attention_factor);
}

FUNCTION(rotary_rotate) {
  static const char *const direction_words[] = {"forward", "backward", NULL};
  static const char *const order_words[] = {"heads-first", "context-first", NULL};
  TAKES(rotary_rotate, 2, 2, "rotary", "input", "out", PLACE_ARGUMENTS, "coordinates", "direction",
        "order", "length", "backend", "threads");
  PyObject **more = values + 3 + PLACE_COUNT;
  ek_rotary *rotary = read_handle(values[0], rotary_kind);
  ek_rotate_options options = EK_ROTATE_OPTIONS_INIT;
  ek_rotary_info info;
  view input = {0}, coordinates = {0};
  place stands = {0};
  PyArrayObject *result = NULL;
  if (rotary == NULL || !read_choice(more[1], "direction", direction_words, &options.direction) ||
      !read_choice(more[2], "order", order_words, &options.order) ||
      !read_optional_int64(more[3], "length", &options.length) ||
      !read_choice(more[4], "backend", backend_words, &options.backend) ||
      !read_optional_int32(more[5], "threads", &options.threads))
    return NULL;
  int32_t code = ek_rotary_get(rotary, &info);
  if (code != EK_OK) return raise_last_error(code);
  if (!read_array(values[1], "input", ANY_FLOAT, &input)) return NULL;
  const npy_intp four[] = {-1, -1, -1, (npy_intp)info.head_dim};
  // Without a batch, and without heads.
  int missing = 4 - input.ndim;
  if (missing < 0 || missing > 2) missing = 0;
  if (!has_shape(&input, "input", 4 - missing, four + missing)) goto done;
  bool heads_first = options.order == EK_HEADS_FIRST;
  const npy_intp *sizes = input.shape + (missing > 0 ? 0 : 1);
  npy_intp rows = missing > 0 ? 1 : input.shape[0];
  npy_intp heads = missing > 1 ? 1 : sizes[heads_first ? 0 : 1];
  npy_intp context = missing > 1 ? sizes[0] : sizes[heads_first ? 1 : 0];
  if (!read_place(values + 3, rows, context, &stands)) goto done;
  options.place = given_place(&stands);
  if (more[0] != NULL) {
    const npy_intp shape[] = {info.axes, rows, context};
    if (!read_array(more[0], "coordinates", INT32, &coordinates) ||
        !has_shape(&coordinates, "coordinates", 3, shape))
      goto done;
    options.coordinates = coordinates.data;
  }
  result = output_array(values[2], input.ndim, input.shape, input.type);
  if (result != NULL && input.count > 0) {
    WITHOUT_LOCK(PyArray_NBYTES(result),
                 code = ek_rotate(rotary, input.data, memory(result), element_code(input.type),
                                  rows, heads, context, &options));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
done:
  release(&coordinates);
  release(&stands.numbers);
  release(&input);
  return (PyObject *)result;
}

/// Returns (cosines, sines).
FUNCTION(rotary_rows) {
  TAKES(rotary_rows, 3, 3, "rotary", "first", "count");
  ek_rotary *rotary = read_handle(values[0], rotary_kind);
  ek_rotary_info info;
  int64_t first, rows;
  if (rotary == NULL || !read_int64(values[1], "first", &first) ||
      !read_int64(values[2], "count", &rows))
    return NULL;
  int32_t code = ek_rotary_get(rotary, &info);
  if (code != EK_OK) return raise_last_error(code);
  if (rows < 0) {
    PyErr_Format(PyExc_ValueError, "count is %lld: expected 0 or more", (long long)rows);
    return NULL;
  }
  const npy_intp shape[] = {(npy_intp)rows, (npy_intp)info.rotary_dim / 2};
  PyArrayObject *cosines = new_array(2, shape, FLOAT32), *sines = new_array(2, shape, FLOAT32);
  if (cosines != NULL && sines != NULL && rows > 0) {
    WITHOUT_LOCK(PyArray_NBYTES(sines),
                 code = ek_rotary_rows(rotary, first, rows, memory(cosines), memory(sines)));
    if (code != EK_OK) raise_last_error(code);
  }
  if (!PyErr_Occurred()) return Py_BuildValue("NN", cosines, sines);
  Py_XDECREF((PyObject *)cosines);
  Py_XDECREF((PyObject *)sines);
  return NULL;
}
