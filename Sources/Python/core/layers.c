// Input layers of shared tables, and their gradients.
#include "core.h"

static const char *const layer_kind = "embedkernel.layer";
static const char *const gradient_kind = "embedkernel.layer_gradient";
static const char *const part_words[] = {"tokens", "positions", "segments", "gamma", "beta", NULL};

static void destroy_layer(PyObject *capsule) {
  ek_layer_destroy(PyCapsule_GetPointer(capsule, layer_kind));
}

static void destroy_gradient(PyObject *capsule) {
  ek_layer_gradient_destroy(PyCapsule_GetPointer(capsule, gradient_kind));
}

static void destroy_part(PyObject *capsule) {
  ek_table_destroy(PyCapsule_GetPointer(capsule, table_kind));
}

static PyObject *layer_capsule(ek_layer *layer) {
  PyObject *capsule = handle_capsule(layer, layer_kind, destroy_layer);
  if (capsule == NULL) ek_layer_destroy(layer);
  return capsule;
}

#define LAYER_ARGUMENTS                                                                            \
  "norm", "unknown", "overflow", "positions_fixed", "scale", "epsilon", "dropout", "dropout_seed", \
      "padding_id"

static bool read_layer(PyObject **rest, ek_layer_options *options) {
  return read_choice(rest[0], "norm", norm_words, &options->norm) &&
         read_choice(rest[1], "unknown", unknown_words, &options->unknown_ids) &&
         read_choice(rest[2], "overflow", overflow_words, &options->position_overflow) &&
         read_optional_bool(rest[3], "positions_fixed", &options->positions_fixed) &&
         read_optional_float(rest[4], "scale", &options->scale) &&
         read_optional_float(rest[5], "epsilon", &options->epsilon) &&
         read_optional_float(rest[6], "dropout", &options->dropout_rate) &&
         read_optional_uint64(rest[7], "dropout_seed", &options->dropout_seed) &&
         read_optional_int64(rest[8], "padding_id", &options->padding_id);
}

FUNCTION(layer_create) {
  TAKES(layer_create, 1, 1, "tokens", "positions", "segments", "gamma", "beta", LAYER_ARGUMENTS);
  ek_layer_options options = EK_LAYER_OPTIONS_INIT;
  ek_table **parts[] = {&options.tokens, &options.positions, &options.segments, &options.gamma,
                        &options.beta};
  for (int i = 0; i < 5; i++) {
    if (values[i] == NULL) continue;
    *parts[i] = read_handle(values[i], table_kind);
    if (*parts[i] == NULL) return NULL;
  }
  if (!read_layer(values + 5, &options)) return NULL;
  ek_layer *layer = NULL;
  int32_t code = ek_layer_create(&options, &layer);
  return code == EK_OK ? layer_capsule(layer) : raise_last_error(code);
}

FUNCTION(layer_load) {
  TAKES(layer_load, 1, 1, "path", LAYER_ARGUMENTS);
  ek_layer_options options = EK_LAYER_OPTIONS_INIT;
  if (!read_layer(values + 1, &options)) return NULL;
  const char *name;
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  ek_layer *layer = NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_layer_load(name, &options, &layer));
  Py_DECREF(path);
  return code == EK_OK ? layer_capsule(layer) : raise_last_error(code);
}

FUNCTION(layer_save) {
  TAKES(layer_save, 2, 2, "layer", "path");
  ek_layer *layer = read_handle(values[0], layer_kind);
  const char *name;
  PyObject *path = layer == NULL ? NULL : read_path(values[1], "path", &name);
  if (path == NULL) return NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_layer_save(layer, name));
  Py_DECREF(path);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

/// A part's table, None where the layer has none.
FUNCTION(layer_table) {
  TAKES(layer_table, 2, 2, "layer", "part");
  ek_layer *layer = read_handle(values[0], layer_kind);
  int part;
  if (layer == NULL || !read_word(values[1], "part", part_words, &part)) return NULL;
  ek_table *table = NULL;
  int32_t code = ek_layer_table(layer, part, &table);
  if (code != EK_OK) return raise_last_error(code);
  if (table == NULL) return Py_NewRef(Py_None);
  PyObject *capsule = handle_capsule(table, table_kind, destroy_part);
  if (capsule == NULL) ek_table_destroy(table);
  return capsule;
}

// MARK: Calls

#define LAYER_CALL_ARGUMENTS PLACE_ARGUMENTS, "segment_ids", "training_step", "backend", "threads"

typedef struct layer_call {
  ek_layer *layer;
  batch tokens;
  view segment_ids;
  place stands;
  ek_layer_call options;
} layer_call;

static void release_layer(layer_call *call) {
  release(&call->tokens.ids);
  release(&call->segment_ids);
  release(&call->stands.numbers);
}

static bool read_layer_call(PyObject *layer, PyObject *ids, PyObject **rest, layer_call *call) {
  *call = (layer_call){.options = EK_LAYER_CALL_INIT};
  PyObject **more = rest + PLACE_COUNT;
  call->layer = read_handle(layer, layer_kind);
  if (call->layer == NULL || !read_batch(ids, &call->tokens)) return false;
  if (!read_place(rest, call->tokens.rows, call->tokens.context, &call->stands)) return false;
  if (more[0] != NULL) {
    if (!read_ids(more[0], "segment_ids", &call->segment_ids)) return false;
    if (!has_shape(&call->segment_ids, "segment_ids", call->tokens.ndim - 1, call->tokens.shape))
      return false;
    if (call->segment_ids.type != call->tokens.ids.type) {
      PyErr_Format(PyExc_TypeError, "segment_ids has elements of %s: expected those of ids, %s",
                   type_name(call->segment_ids.type), type_name(call->tokens.ids.type));
      return false;
    }
  }
  call->options.place = given_place(&call->stands);
  call->options.segment_ids = data_of(&call->segment_ids);
  if (!read_optional_int64(more[1], "training_step", &call->options.training_step) ||
      !read_choice(more[2], "backend", backend_words, &call->options.backend) ||
      !read_optional_int32(more[3], "threads", &call->options.threads))
    return false;
  ek_table *table = NULL;
  int64_t dim = 0;
  int32_t code = ek_layer_table(call->layer, EK_PART_TOKENS, &table);
  if (code == EK_OK) code = ek_table_get(table, NULL, NULL, &dim, NULL);
  ek_table_destroy(table);
  if (code != EK_OK) raise_last_error(code);
  call->tokens.shape[call->tokens.ndim - 1] = (npy_intp)dim;
  return code == EK_OK;
}

FUNCTION(layer_forward) {
  TAKES(layer_forward, 2, 2, "layer", "ids", LAYER_CALL_ARGUMENTS, "out");
  layer_call call;
  PyArrayObject *result = NULL;
  if (read_layer_call(values[0], values[1], values + 2, &call)) {
    result = output_array(values[10], call.tokens.ndim, call.tokens.shape, FLOAT32);
  }
  if (result != NULL && call.tokens.ids.count > 0) {
    int32_t code;
    WITHOUT_LOCK(PyArray_NBYTES(result),
                 code = ek_layer_forward(call.layer, call.tokens.ids.data,
                                         element_code(call.tokens.ids.type), call.tokens.rows,
                                         call.tokens.context, memory(result), &call.options));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
  release_layer(&call);
  return (PyObject *)result;
}

// MARK: Gradients

FUNCTION(layer_gradient) {
  TAKES(layer_gradient, 1, 1, "layer");
  ek_layer *layer = read_handle(values[0], layer_kind);
  ek_layer_gradient *gradient = NULL;
  if (layer == NULL) return NULL;
  int32_t code = ek_layer_gradient_create(layer, &gradient);
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = handle_capsule(gradient, gradient_kind, destroy_gradient);
  if (capsule == NULL) ek_layer_gradient_destroy(gradient);
  return capsule;
}

FUNCTION(layer_backward) {
  TAKES(layer_backward, 4, 4, "layer", "gradient", "output_gradient", "ids", LAYER_CALL_ARGUMENTS);
  ek_layer_gradient *gradient = read_handle(values[1], gradient_kind);
  layer_call call = {0};
  view output = {0};
  PyObject *result = NULL;
  if (gradient != NULL && read_layer_call(values[0], values[3], values + 4, &call) &&
      read_array(values[2], "output_gradient", FLOAT32, &output) &&
      has_shape(&output, "output_gradient", call.tokens.ndim, call.tokens.shape)) {
    int32_t code;
    WITHOUT_LOCK(output.count * 4,
                 code = ek_layer_backward(call.layer, gradient, output.data, call.tokens.ids.data,
                                          element_code(call.tokens.ids.type), call.tokens.rows,
                                          call.tokens.context, &call.options));
    result = code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
  }
  release(&output);
  release_layer(&call);
  return result;
}

/// A part's gradient as copies: (rows or None, values), None where the layer has no such part.
FUNCTION(layer_gradient_part) {
  TAKES(layer_gradient_part, 2, 2, "gradient", "part");
  ek_layer_gradient *gradient = read_handle(values[0], gradient_kind);
  int part;
  if (gradient == NULL || !read_word(values[1], "part", part_words, &part)) return NULL;
  int64_t rows, dim;
  const int32_t *numbers;
  const float *floats;
  int32_t code = ek_layer_gradient_get(gradient, part, &rows, &dim, &numbers, &floats);
  if (code != EK_OK) return raise_last_error(code);
  const npy_intp shape[] = {(npy_intp)rows, (npy_intp)dim};
  PyArrayObject *sums = new_array(2, shape, FLOAT32), *ids = NULL;
  if (sums != NULL) {
    for (npy_intp i = 0; i < PyArray_SIZE(sums); i++) ((float *)memory(sums))[i] = floats[i];
    // A part of all rows has no numbers, and one without any has none to tell.
    bool listed = part == EK_PART_TOKENS || part == EK_PART_POSITIONS;
    ids = listed ? new_array(1, shape, INT64) : NULL;
    for (int64_t i = 0; ids != NULL && i < rows; i++) ((int64_t *)memory(ids))[i] = numbers[i];
  }
  if (!PyErr_Occurred()) return Py_BuildValue("NN", array_or_none(ids), sums);
  Py_XDECREF((PyObject *)sums);
  Py_XDECREF((PyObject *)ids);
  return NULL;
}

FUNCTION(layer_gradient_clear) {
  TAKES(layer_gradient_clear, 1, 1, "gradient");
  ek_layer_gradient *gradient = read_handle(values[0], gradient_kind);
  if (gradient == NULL) return NULL;
  int32_t code = ek_layer_gradient_clear(gradient);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}
