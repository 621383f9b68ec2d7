// Work on rows of floats: normalisation, the tied head, and conversion between element types.
#include "core.h"

// MARK: Normalisation

typedef struct normalisation {
  view input, gamma, beta;
  npy_intp rows, dim;
  int32_t norm, threads;
  float epsilon;
} normalisation;

#define NORM_ARGUMENTS "norm", "gamma", "beta", "epsilon", "threads"

static bool read_normalisation(PyObject *input, PyObject **rest, normalisation *call) {
  *call = (normalisation){.norm = EK_NORM_LAYER, .epsilon = 1e-5f};
  if (!read_array(input, "input", FLOAT32, &call->input)) return false;
  if (call->input.ndim < 1) {
    PyErr_SetString(PyExc_ValueError, "input has no dimensions: expected 1 or more");
    return false;
  }
  call->dim = call->input.shape[call->input.ndim - 1];
  call->rows = call->dim == 0 ? 0 : call->input.count / call->dim;
  const npy_intp vector[] = {call->dim};
  return read_choice(rest[0], "norm", norm_words, &call->norm) &&
         read_optional(rest[1], "gamma", FLOAT32, &call->gamma) &&
         (rest[1] == NULL || has_shape(&call->gamma, "gamma", 1, vector)) &&
         read_optional(rest[2], "beta", FLOAT32, &call->beta) &&
         (rest[2] == NULL || has_shape(&call->beta, "beta", 1, vector)) &&
         read_optional_float(rest[3], "epsilon", &call->epsilon) &&
         read_optional_int32(rest[4], "threads", &call->threads);
}

static void release_normalisation(normalisation *call) {
  release(&call->input);
  release(&call->gamma);
  release(&call->beta);
}

FUNCTION(normalize) {
  TAKES(normalize, 1, 1, "input", NORM_ARGUMENTS, "out");
  normalisation call;
  PyArrayObject *result = NULL;
  if (read_normalisation(values[0], values + 1, &call)) {
    result = output_array(values[6], call.input.ndim, call.input.shape, FLOAT32);
  }
  if (result != NULL && call.rows > 0) {
    int32_t code;
    WITHOUT_LOCK(
        call.input.count * 4,
        code = ek_normalize(call.input.data, call.rows, call.dim, call.norm, data_of(&call.gamma),
                            data_of(&call.beta), call.epsilon, memory(result), call.threads));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
  release_normalisation(&call);
  return (PyObject *)result;
}

/// Returns (input_gradient, gamma_gradient, beta_gradient), None for what is not there.
FUNCTION(normalize_backward) {
  TAKES(normalize_backward, 2, 2, "output_gradient", "input", NORM_ARGUMENTS);
  normalisation call;
  view gradient = {0};
  PyObject *result = NULL;
  PyArrayObject *rows = NULL, *gamma = NULL, *beta = NULL;
  if (!read_normalisation(values[1], values + 2, &call) ||
      !read_array(values[0], "output_gradient", FLOAT32, &gradient) ||
      !has_shape(&gradient, "output_gradient", call.input.ndim, call.input.shape))
    goto done;
  rows = new_array(call.input.ndim, call.input.shape, FLOAT32);
  gamma = zeros(call.gamma.array != NULL, 1, &call.dim);
  beta = zeros(call.beta.array != NULL, 1, &call.dim);
  if (PyErr_Occurred()) goto done;
  int32_t code = EK_OK;
  if (call.rows > 0) {
    WITHOUT_LOCK(
        call.input.count * 4,
        code = ek_normalize_backward(gradient.data, call.input.data, call.rows, call.dim, call.norm,
                                     data_of(&call.gamma), data_of(&call.beta), call.epsilon,
                                     memory(rows), memory(gamma), memory(beta), call.threads));
  }
  if (code != EK_OK) {
    raise_last_error(code);
    goto done;
  }
  result = Py_BuildValue("NNN", array_or_none(rows), array_or_none(gamma), array_or_none(beta));
  rows = gamma = beta = NULL;
done:
  Py_XDECREF((PyObject *)rows);
  Py_XDECREF((PyObject *)gamma);
  Py_XDECREF((PyObject *)beta);
  release(&gradient);
  release_normalisation(&call);
  return result;
}

// MARK: The tied head

FUNCTION(tied_logits) {
  TAKES(tied_logits, 2, 2, "hidden", "table", "scale", "out");
  view hidden = {0}, table = {0};
  float scale = 1;
  PyArrayObject *result = NULL;
  if (!read_array(values[0], "hidden", FLOAT32, &hidden)) return NULL;
  if (read_array(values[1], "table", FLOAT32, &table) && is_table(&table, "table", -1) &&
      is_table(&hidden, "hidden", table.shape[1]) &&
      read_optional_float(values[2], "scale", &scale)) {
    const npy_intp shape[] = {hidden.shape[0], table.shape[0]};
    result = output_array(values[3], 2, shape, FLOAT32);
  }
  if (result != NULL && hidden.shape[0] > 0) {
    int32_t code;
    WITHOUT_LOCK(PyArray_NBYTES(result) + table.count * 4,
                 code = ek_tied_logits(hidden.data, hidden.shape[0], table.data, table.shape[0],
                                       table.shape[1], scale, memory(result)));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
  release(&hidden);
  release(&table);
  return (PyObject *)result;
}

/// Returns (hidden_gradient, table_gradient); the latter is added to `table_out` where it is given.
FUNCTION(tied_backward) {
  TAKES(tied_backward, 3, 3, "logit_gradient", "hidden", "table", "scale", "table_out");
  view logits = {0}, hidden = {0}, table = {0};
  float scale = 1;
  PyObject *result = NULL;
  PyArrayObject *rows = NULL, *sums = NULL;
  if (!read_array(values[0], "logit_gradient", FLOAT32, &logits) ||
      !read_array(values[1], "hidden", FLOAT32, &hidden) ||
      !read_array(values[2], "table", FLOAT32, &table) || !is_table(&table, "table", -1) ||
      !is_table(&hidden, "hidden", table.shape[1]) ||
      !read_optional_float(values[3], "scale", &scale))
    goto done;
  const npy_intp shape[] = {hidden.shape[0], table.shape[0]};
  if (!has_shape(&logits, "logit_gradient", 2, shape)) goto done;
  rows = new_array(2, hidden.shape, FLOAT32);
  sums = values[4] == NULL ? zeros(true, 2, table.shape)
                           : output_array(values[4], 2, table.shape, FLOAT32);
  if (rows == NULL || sums == NULL) goto done;
  int32_t code = EK_OK;
  if (hidden.shape[0] > 0) {
    WITHOUT_LOCK(
        table.count * 4,
        code = ek_tied_backward(logits.data, hidden.data, hidden.shape[0], table.data,
                                table.shape[0], table.shape[1], scale, memory(rows), memory(sums)));
  }
  if (code != EK_OK) {
    raise_last_error(code);
    goto done;
  }
  result = Py_BuildValue("NN", rows, sums);
  rows = sums = NULL;
done:
  Py_XDECREF((PyObject *)rows);
  Py_XDECREF((PyObject *)sums);
  release(&logits);
  release(&hidden);
  release(&table);
  return result;
}

// MARK: Conversion

FUNCTION(convert) {
  static const char *const type_words[] = {"float32", "float16", "bfloat16", NULL};
  static const int types[] = {FLOAT32, FLOAT16, BFLOAT16};
  TAKES(convert, 2, 2, "array", "type", "out");
  view input;
  int word = 0;
  if (!read_word(values[1], "type", type_words, &word)) return NULL;
  if (!read_array(values[0], "array", ANY_FLOAT, &input)) return NULL;
  PyArrayObject *result = output_array(values[2], input.ndim, input.shape, types[word]);
  if (result != NULL && input.count > 0) {
    int32_t code;
    WITHOUT_LOCK(input.count * 4,
                 code = ek_convert(input.data, element_code(input.type), memory(result),
                                   element_code(types[word]), input.count));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
  release(&input);
  return (PyObject *)result;
}
