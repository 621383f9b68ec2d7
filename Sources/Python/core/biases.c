// Biases of attention logits that follow from positions.
#include "core.h"

static const char *const bias_kind = "embedkernel.bias";

static void destroy_bias(PyObject *capsule) {
  ek_bias_destroy(PyCapsule_GetPointer(capsule, bias_kind));
}

static PyObject *bias_capsule(ek_bias *bias) {
  PyObject *capsule = handle_capsule(bias, bias_kind, destroy_bias);
  if (capsule == NULL) ek_bias_destroy(bias);
  return capsule;
}

FUNCTION(bias_alibi) {
  TAKES(bias_alibi, 1, 1, "heads", "slopes", "symmetric");
  int64_t heads;
  int32_t symmetric = 0;
  if (!read_int64(values[0], "heads", &heads) ||
      !read_optional_bool(values[2], "symmetric", &symmetric))
    return NULL;
  PyObject *slopes = NULL;
  if (values[1] != NULL) {
    slopes = PyArray_FROMANY(values[1], NPY_FLOAT64, 1, 1, NPY_ARRAY_CARRAY_RO);
    if (slopes == NULL) return NULL;
    if (PyArray_DIM((PyArrayObject *)slopes, 0) != heads) {
      PyErr_Format(PyExc_ValueError, "slopes has %zd elements: expected one a head, %lld",
                   PyArray_DIM((PyArrayObject *)slopes, 0), (long long)heads);
      Py_DECREF(slopes);
      return NULL;
    }
  }
  ek_bias *bias = NULL;
  int32_t code = ek_bias_alibi(heads, memory((PyArrayObject *)slopes), symmetric, &bias);
  Py_XDECREF(slopes);
  return code == EK_OK ? bias_capsule(bias) : raise_last_error(code);
}

FUNCTION(bias_t5) {
  TAKES(bias_t5, 1, 1, "weights", "maximum_distance", "bidirectional");
  view weights;
  int64_t maximum = 128;
  int32_t bidirectional = 1;
  if (!read_optional_int64(values[1], "maximum_distance", &maximum) ||
      !read_optional_bool(values[2], "bidirectional", &bidirectional) ||
      !read_array(values[0], "weights", FLOAT32, &weights))
    return NULL;
  PyObject *result = NULL;
  if (is_table(&weights, "weights", -1)) {
    ek_bias *bias = NULL;
    int32_t code =
        ek_bias_t5(weights.shape[0], maximum, bidirectional, weights.data, weights.shape[1], &bias);
    result = code == EK_OK ? bias_capsule(bias) : raise_last_error(code);
  }
  release(&weights);
  return result;
}

FUNCTION(bias_kerple) {
  static const char *const kernel_words[] = {"logarithmic", "power", NULL};
  TAKES(bias_kerple, 1, 1, "parameters", "kernel");
  view parameters;
  int32_t kernel = EK_KERPLE_LOGARITHMIC;
  if (!read_choice(values[1], "kernel", kernel_words, &kernel) ||
      !read_array(values[0], "parameters", FLOAT32, &parameters))
    return NULL;
  PyObject *result = NULL;
  const npy_intp shape[] = {2, -1};
  if (has_shape(&parameters, "parameters", 2, shape)) {
    ek_bias *bias = NULL;
    int32_t code = ek_bias_kerple(kernel, parameters.data, parameters.shape[1], &bias);
    result = code == EK_OK ? bias_capsule(bias) : raise_last_error(code);
  }
  release(&parameters);
  return result;
}

FUNCTION(bias_fire) {
  TAKES(bias_fire, 3, 3, "parameters", "heads", "width", "initial_threshold", "epsilon");
  view parameters;
  int64_t heads, width;
  double threshold = 512, epsilon = 1e-6;
  if (!read_int64(values[1], "heads", &heads) || !read_int64(values[2], "width", &width) ||
      !read_optional_double(values[3], "initial_threshold", &threshold) ||
      !read_optional_double(values[4], "epsilon", &epsilon) ||
      !read_array(values[0], "parameters", FLOAT32, &parameters))
    return NULL;
  PyObject *result = NULL;
  // Sizes that are no sizes are the library's to name, before it looks at the parameters.
  bool sizes = heads > 0 && width > 0 && heads <= 1 << 20 && width <= 1 << 20;
  const npy_intp shape[] = {sizes ? 2 * width + heads * width + heads + 2 : -1};
  if (has_shape(&parameters, "parameters", 1, shape)) {
    ek_bias *bias = NULL;
    int32_t code = ek_bias_fire(heads, width, threshold, epsilon, parameters.data, &bias);
    result = code == EK_OK ? bias_capsule(bias) : raise_last_error(code);
  }
  release(&parameters);
  return result;
}

FUNCTION(bias_sandwich) {
  TAKES(bias_sandwich, 1, 1, "heads", "dim", "base");
  int64_t heads, dim = 128;
  double base = 10000;
  if (!read_int64(values[0], "heads", &heads) || !read_optional_int64(values[1], "dim", &dim) ||
      !read_optional_double(values[2], "base", &base))
    return NULL;
  ek_bias *bias = NULL;
  int32_t code = ek_bias_sandwich(heads, dim, base, &bias);
  return code == EK_OK ? bias_capsule(bias) : raise_last_error(code);
}

FUNCTION(bias_swin) {
  TAKES(bias_swin, 3, 3, "weights", "rows", "columns");
  view weights;
  int64_t rows, columns;
  if (!read_int64(values[1], "rows", &rows) || !read_int64(values[2], "columns", &columns) ||
      !read_array(values[0], "weights", FLOAT32, &weights))
    return NULL;
  PyObject *result = NULL;
  bool sizes = rows > 0 && columns > 0 && rows <= 1 << 15 && columns <= 1 << 15;
  const npy_intp shape[] = {sizes ? (2 * rows - 1) * (2 * columns - 1) : -1, -1};
  if (has_shape(&weights, "weights", 2, shape)) {
    ek_bias *bias = NULL;
    int32_t code = ek_bias_swin(rows, columns, weights.data, weights.shape[1], &bias);
    result = code == EK_OK ? bias_capsule(bias) : raise_last_error(code);
  }
  release(&weights);
  return result;
}

FUNCTION(bias_set_weights) {
  TAKES(bias_set_weights, 2, 2, "bias", "weights");
  ek_bias *bias = read_handle(values[0], bias_kind);
  view weights;
  if (bias == NULL || !read_array(values[1], "weights", FLOAT32, &weights)) return NULL;
  int32_t code = ek_bias_set_weights(bias, weights.data, weights.count);
  release(&weights);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

// MARK: Calls

/// What a call on logits (B, H, Q, K) reads: `bias`, the logits, and BIAS_ARGUMENTS.
typedef struct bias_call {
  ek_bias *bias;
  view logits;
  ek_bias_options options;
  place queries, keys;
} bias_call;

#define BIAS_ARGUMENTS                                                                    \
  "query_offset", "query_positions", "key_offset", "key_positions", "cumulative_lengths", \
      "key_mask", "causal", "threads"

static void release_bias(bias_call *call) {
  release(&call->logits);
  release(&call->queries.numbers);
  release(&call->keys.numbers);
}

static bool read_bias(PyObject *bias, PyObject *logits, bool writes, PyObject **rest,
                      bias_call *call) {
  *call = (bias_call){.options = EK_BIAS_OPTIONS_INIT};
  call->bias = read_handle(bias, bias_kind);
  int32_t causal = 0;
  if (call->bias == NULL) return false;
  bool read = writes ? read_output(logits, "logits", ANY_FLOAT, &call->logits)
                     : read_array(logits, "logits_gradient", ANY_FLOAT, &call->logits);
  const npy_intp four[] = {-1, -1, -1, -1};
  if (!read || !has_shape(&call->logits, writes ? "logits" : "logits_gradient", 4, four))
    return false;
  const npy_intp *shape = call->logits.shape;
  PyObject *queries[PLACE_COUNT] = {rest[0], rest[1], rest[4], NULL};
  PyObject *keys[PLACE_COUNT] = {rest[2], rest[3], rest[4], rest[5]};
  if (!read_place(queries, shape[0], shape[2], &call->queries) ||
      !read_place(keys, shape[0], shape[3], &call->keys) ||
      !read_optional_bool(rest[6], "causal", &causal) ||
      !read_optional_int32(rest[7], "threads", &call->options.threads))
    return false;
  call->options.mask = (causal ? EK_MASK_CAUSAL : 0) | (rest[4] != NULL ? EK_MASK_DOCUMENTS : 0) |
                       (rest[5] != NULL ? EK_MASK_PADDING : 0);
  call->options.queries = given_place(&call->queries);
  call->options.keys = given_place(&call->keys);
  return true;
}

/// Adds the bias to logits, or writes it over them, and returns None.
static PyObject *over_logits(bias_call *call, bool adds) {
  int32_t code = EK_OK;
  const npy_intp *shape = call->logits.shape;
  if (call->logits.count > 0) {
    WITHOUT_LOCK(call->logits.count * 2,
                 code = (adds ? ek_bias_add : ek_bias_write)(
                     call->bias, call->logits.data, element_code(call->logits.type), shape[0],
                     shape[1], shape[2], shape[3], &call->options));
  }
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

FUNCTION(bias_add) {
  TAKES(bias_add, 2, 2, "bias", "logits", BIAS_ARGUMENTS);
  bias_call call;
  PyObject *result =
      read_bias(values[0], values[1], true, values + 2, &call) ? over_logits(&call, true) : NULL;
  release_bias(&call);
  return result;
}

FUNCTION(bias_write) {
  TAKES(bias_write, 2, 2, "bias", "logits", BIAS_ARGUMENTS);
  bias_call call;
  PyObject *result =
      read_bias(values[0], values[1], true, values + 2, &call) ? over_logits(&call, false) : NULL;
  release_bias(&call);
  return result;
}

/// Adds the gradient of a bias's weights to `gradient`, of their shape.
FUNCTION(bias_backward) {
  TAKES(bias_backward, 3, 3, "bias", "logits_gradient", "gradient", BIAS_ARGUMENTS);
  bias_call call;
  view gradient = {0};
  PyObject *result = NULL;
  if (read_bias(values[0], values[1], false, values + 3, &call) &&
      read_output(values[2], "gradient", FLOAT32, &gradient)) {
    const npy_intp *shape = call.logits.shape;
    int32_t code = EK_OK;
    if (call.logits.count > 0) {
      WITHOUT_LOCK(call.logits.count * 2,
                   code = ek_bias_backward(call.bias, call.logits.data,
                                           element_code(call.logits.type), shape[0], shape[1],
                                           shape[2], shape[3], gradient.data, &call.options));
    }
    result = code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
  }
  release(&gradient);
  release_bias(&call);
  return result;
}
