// Embedding: rows of a token table by ids, with positions, and with segments, normalisation and
// dropout.
#include "core.h"

FUNCTION(embed) {
  TAKES(embed, 2, 3, "table", "ids", "positions", "out", PLACE_ARGUMENTS, "scale", "unknown",
        "overflow", "backend", "threads");
  // A QuantizedTable has its rows behind a handle.
  if (!PyArray_Check(values[0]) && PyObject_HasAttrString(values[0], "_rows")) {
    PyObject *rows = PyObject_GetAttrString(values[0], "_rows");
    PyObject *embedded = rows == NULL ? NULL : embed_from_rows(rows, values);
    Py_XDECREF(rows);
    return embedded;
  }
  ek_embed_options options = EK_EMBED_OPTIONS_INIT;
  PyObject **more = values + 4 + PLACE_COUNT;
  PyArrayObject *result = NULL;
  view table, positions = {0};
  place stands = {0};
  batch tokens;
  if (!read_array(values[0], "table", ANY_FLOAT, &table)) return NULL;
  if (!read_batch(values[1], &tokens)) goto table;
  if (!is_table(&table, "table", -1)) goto ids;
  if (values[2] != NULL && (!read_array(values[2], "positions", table.type, &positions) ||
                            !is_table(&positions, "positions", table.shape[1])))
    goto positions;
  if (!read_place(values + 4, tokens.rows, tokens.context, &stands) ||
      !read_optional_float(more[0], "scale", &options.scale) ||
      !read_choice(more[1], "unknown", unknown_words, &options.unknown_ids) ||
      !read_choice(more[2], "overflow", overflow_words, &options.position_overflow) ||
      !read_choice(more[3], "backend", backend_words, &options.backend) ||
      !read_optional_int32(more[4], "threads", &options.threads))
    goto place;
  options.place = given_place(&stands);
  tokens.shape[tokens.ndim - 1] = table.shape[1];
  int type = table.type;
  result = float_output_array(values[3], tokens.ndim, tokens.shape, &type);
  if (result != NULL && tokens.ids.count > 0) {
    int32_t code;
    WITHOUT_LOCK(
        PyArray_NBYTES(result),
        code = ek_embed(tokens.ids.data, element_code(tokens.ids.type), tokens.rows, tokens.context,
                        table.data, element_code(table.type), table.shape[0], table.shape[1],
                        data_of(&positions), positions.array == NULL ? 0 : positions.shape[0],
                        PyArray_DATA(result), element_code(type), &options));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
place:
  release(&stands.numbers);
positions:
  release(&positions);
ids:
  release(&tokens.ids);
table:
  release(&table);
  return (PyObject *)result;
}

// MARK: Segments, normalisation and dropout

/// The arguments that `embed_fused` and its backward share, in the order of FUSED_ARGUMENTS.
typedef struct fused {
  ek_fused_options options;
  view table, positions, segments, segment_ids, gamma, beta;
  batch tokens;
  place stands;
} fused;

#define FUSED_ARGUMENTS                                                                    \
  "segments", "segment_ids", "norm", "gamma", "beta", "epsilon", PLACE_ARGUMENTS, "scale", \
      "unknown", "overflow", "dropout", "dropout_seed", "dropout_step", "backend", "threads"

static void release_fused(fused *call) {
  release(&call->table);
  release(&call->positions);
  release(&call->segments);
  release(&call->segment_ids);
  release(&call->gamma);
  release(&call->beta);
  release(&call->tokens.ids);
  release(&call->stands.numbers);
}

/// Reads `table`, `ids`, `positions` and the values of FUSED_ARGUMENTS.
static bool read_fused(PyObject **first, PyObject **rest, fused *call) {
  *call = (fused){.options = EK_FUSED_OPTIONS_INIT};
  ek_fused_options *options = &call->options;
  PyObject **more = rest + 6 + PLACE_COUNT;
  if (!read_array(first[0], "table", ANY_FLOAT, &call->table)) return false;
  const int type = call->table.type;
  if (!is_table(&call->table, "table", -1)) return false;
  const npy_intp dim = call->table.shape[1], vector[] = {dim};
  if (!read_batch(first[1], &call->tokens)) return false;
  if (!read_optional(first[2], "positions", type, &call->positions) ||
      (first[2] != NULL && !is_table(&call->positions, "positions", dim)) ||
      !read_optional(rest[0], "segments", type, &call->segments) ||
      (rest[0] != NULL && !is_table(&call->segments, "segments", dim)) ||
      !read_optional(rest[3], "gamma", FLOAT32, &call->gamma) ||
      (rest[3] != NULL && !has_shape(&call->gamma, "gamma", 1, vector)) ||
      !read_optional(rest[4], "beta", FLOAT32, &call->beta) ||
      (rest[4] != NULL && !has_shape(&call->beta, "beta", 1, vector)))
    return false;
  if (rest[1] != NULL) {
    if (rest[0] == NULL) {
      PyErr_SetString(PyExc_ValueError, "segment_ids are given without segments");
      return false;
    }
    if (!read_ids(rest[1], "segment_ids", &call->segment_ids)) return false;
    if (!has_shape(&call->segment_ids, "segment_ids", call->tokens.ndim - 1, call->tokens.shape))
      return false;
    if (call->segment_ids.type != call->tokens.ids.type) {
      PyErr_Format(PyExc_TypeError, "segment_ids has elements of %s: expected those of ids, %s",
                   type_name(call->segment_ids.type), type_name(call->tokens.ids.type));
      return false;
    }
  }
  if (!read_choice(rest[2], "norm", norm_words, &options->norm) ||
      !read_optional_float(rest[5], "epsilon", &options->epsilon) ||
      !read_place(rest + 6, call->tokens.rows, call->tokens.context, &call->stands) ||
      !read_optional_float(more[0], "scale", &options->scale) ||
      !read_choice(more[1], "unknown", unknown_words, &options->unknown_ids) ||
      !read_choice(more[2], "overflow", overflow_words, &options->position_overflow) ||
      !read_optional_float(more[3], "dropout", &options->dropout_rate) ||
      !read_optional_uint64(more[4], "dropout_seed", &options->dropout_seed) ||
      !read_optional_uint64(more[5], "dropout_step", &options->dropout_step) ||
      !read_choice(more[6], "backend", backend_words, &options->backend) ||
      !read_optional_int32(more[7], "threads", &options->threads))
    return false;
  if (options->norm == EK_NORM_NONE && (rest[3] != NULL || rest[4] != NULL)) {
    PyErr_SetString(PyExc_ValueError, "gamma or beta is given without a norm");
    return false;
  }
  options->place = given_place(&call->stands);
  options->segments = data_of(&call->segments);
  options->segment_count = call->segments.array == NULL ? 0 : call->segments.shape[0];
  options->segment_ids = data_of(&call->segment_ids);
  options->table_dtype = element_code(type);
  options->gamma = data_of(&call->gamma);
  options->beta = data_of(&call->beta);
  call->tokens.shape[call->tokens.ndim - 1] = dim;
  return true;
}

FUNCTION(embed_fused) {
  TAKES(embed_fused, 2, 3, "table", "ids", "positions", FUSED_ARGUMENTS, "out");
  fused call;
  PyArrayObject *result = NULL;
  if (read_fused(values, values + 3, &call)) {
    int type = call.table.type;
    result =
        float_output_array(values[takes.count - 1], call.tokens.ndim, call.tokens.shape, &type);
    call.options.output_dtype = element_code(type);
  }
  if (result != NULL && call.tokens.ids.count > 0) {
    const batch *tokens = &call.tokens;
    int32_t code;
    WITHOUT_LOCK(PyArray_NBYTES(result),
                 code = ek_embed_fused(
                     tokens->ids.data, element_code(tokens->ids.type), tokens->rows,
                     tokens->context, call.table.data, call.table.shape[0], call.table.shape[1],
                     data_of(&call.positions), call.positions.array ? call.positions.shape[0] : 0,
                     PyArray_DATA(result), &call.options));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
  release_fused(&call);
  return (PyObject *)result;
}

/// Returns (row_gradient, gamma_gradient, beta_gradient, segment_gradient), None for what is not
/// there.
FUNCTION(embed_fused_backward) {
  TAKES(embed_fused_backward, 3, 4, "output_gradient", "table", "ids", "positions",
        FUSED_ARGUMENTS);
  fused call;
  view gradient = {0};
  PyObject *result = NULL;
  PyArrayObject *rows = NULL, *gamma = NULL, *beta = NULL, *segments = NULL;
  if (!read_fused(values + 1, values + 4, &call) ||
      !read_array(values[0], "output_gradient", FLOAT32, &gradient) ||
      !has_shape(&gradient, "output_gradient", call.tokens.ndim, call.tokens.shape))
    goto done;
  const npy_intp dim[] = {call.table.shape[1]};
  rows = new_array(call.tokens.ndim, call.tokens.shape, FLOAT32);
  gamma = zeros(call.gamma.array != NULL, 1, dim);
  beta = zeros(call.beta.array != NULL, 1, dim);
  segments = zeros(call.segments.array != NULL, 2, call.segments.shape);
  if (PyErr_Occurred()) goto done;
  int32_t code = EK_OK;
  const batch *tokens = &call.tokens;
  if (tokens->ids.count > 0) {
    WITHOUT_LOCK(PyArray_NBYTES(rows),
                 code = ek_embed_fused_backward(
                     gradient.data, tokens->ids.data, element_code(tokens->ids.type), tokens->rows,
                     tokens->context, call.table.data, call.table.shape[0], call.table.shape[1],
                     data_of(&call.positions), call.positions.array ? call.positions.shape[0] : 0,
                     memory(rows), memory(gamma), memory(beta), memory(segments), &call.options));
  }
  if (code != EK_OK) {
    raise_last_error(code);
    goto done;
  }
  result = Py_BuildValue("NNNN", array_or_none(rows), array_or_none(gamma), array_or_none(beta),
                         array_or_none(segments));
  rows = gamma = beta = segments = NULL;
done:
  Py_XDECREF((PyObject *)rows);
  Py_XDECREF((PyObject *)gamma);
  Py_XDECREF((PyObject *)beta);
  Py_XDECREF((PyObject *)segments);
  release(&gradient);
  release_fused(&call);
  return result;
}
