// Gradients of the tables, and the norms of their rows.
#include "core.h"

#include <string.h>

// MARK: Backward

static const char *const summation_words[] = {"chunked", "pairwise", "compensated", NULL};

#define BACKWARD_ARGUMENTS                                                                     \
  PLACE_ARGUMENTS, "scale", "gradient_scale", "padding_id", "scale_by_frequency", "summation", \
      "unknown", "overflow", "backend", "threads"
enum { BACKWARD_COUNT = PLACE_COUNT + 9 };

typedef struct backward {
  ek_backward_options options;
  view gradient;
  batch tokens;
  place stands;
  int64_t vocabulary, dim;
} backward;

static void release_backward(backward *call) {
  release(&call->gradient);
  release(&call->tokens.ids);
  release(&call->stands.numbers);
}

bool read_output_gradient(PyObject *value, view *result) {
  if (!read_array(value, "output_gradient", ANY_FLOAT, result)) return false;
  if (result->type == FLOAT32) return true;
  PyArrayObject *wide = new_array(result->ndim, result->shape, FLOAT32);
  int32_t code = EK_OK;
  if (wide != NULL && result->count > 0) {
    WITHOUT_LOCK(result->count * 4,
                 code = ek_convert(result->data, element_code(result->type), PyArray_DATA(wide),
                                   EK_DTYPE_FLOAT32, result->count));
  }
  release(result);
  if (wide == NULL) return false;
  *result = (view){.data = PyArray_DATA(wide),
                   .type = FLOAT32,
                   .ndim = PyArray_NDIM(wide),
                   .shape = PyArray_DIMS(wide),
                   .count = PyArray_SIZE(wide),
                   .array = wide,
                   .made = (PyObject *)wide};
  if (code != EK_OK) raise_last_error(code);
  return code == EK_OK;
}

/// Reads `output_gradient`, `ids`, `vocabulary` and the values of BACKWARD_ARGUMENTS.
static bool read_backward(PyObject **first, PyObject **rest, backward *call) {
  *call = (backward){.options = EK_BACKWARD_OPTIONS_INIT};
  ek_backward_options *options = &call->options;
  PyObject **more = rest + PLACE_COUNT;
  if (!read_output_gradient(first[0], &call->gradient)) return false;
  if (!read_batch(first[1], &call->tokens)) return false;
  call->tokens.shape[call->tokens.ndim - 1] = -1;
  if (!has_shape(&call->gradient, "output_gradient", call->tokens.ndim, call->tokens.shape))
    return false;
  call->dim = call->gradient.shape[call->gradient.ndim - 1];
  if (!read_int64(first[2], "vocabulary", &call->vocabulary) ||
      !read_place(rest, call->tokens.rows, call->tokens.context, &call->stands) ||
      !read_optional_float(more[0], "scale", &options->scale) ||
      !read_optional_float(more[1], "gradient_scale", &options->gradient_scale) ||
      !read_optional_int64(more[2], "padding_id", &options->padding_id) ||
      !read_optional_bool(more[3], "scale_by_frequency", &options->frequency) ||
      !read_choice(more[4], "summation", summation_words, &options->summation) ||
      !read_choice(more[5], "unknown", unknown_words, &options->unknown_ids) ||
      !read_choice(more[6], "overflow", overflow_words, &options->position_overflow) ||
      !read_choice(more[7], "backend", backend_words, &options->backend) ||
      !read_optional_int32(more[8], "threads", &options->threads))
    return false;
  if (more[2] != NULL && (options->padding_id < 0 || options->padding_id >= call->vocabulary)) {
    PyErr_Format(PyExc_ValueError, "padding_id is %lld: expected an id of the vocabulary of %lld",
                 (long long)options->padding_id, (long long)call->vocabulary);
    return false;
  }
  if (call->vocabulary < 1) {
    PyErr_Format(PyExc_ValueError, "vocabulary is %lld: expected 1 or more",
                 (long long)call->vocabulary);
    return false;
  }
  options->place = given_place(&call->stands);
  return true;
}

/// A gradient's array: NULL where `given` is, a new one where it is True, else the array given.
static bool read_gradient(PyObject *given, const npy_intp *shape, int32_t writing,
                          PyArrayObject **result) {
  *result = NULL;
  if (given == NULL) return true;
  if (given != Py_True) {
    *result = output_array(given, 2, shape, FLOAT32);
  } else if (writing == EK_WRITE_ACCUMULATE) {
    *result = zeros(true, 2, shape);
  } else {
    *result = new_array(2, shape, FLOAT32);
  }
  return *result != NULL;
}

/// The same for positions, whose number of rows is `maximum` or that of the array given.
static bool read_position_gradient(PyObject *given, PyObject *said, const backward *call,
                                   PyArrayObject **result) {
  int64_t maximum = 0;
  *result = NULL;
  if (!read_optional_int64(said, "maximum", &maximum)) return false;
  if (given == Py_True && maximum < 1) {
    PyErr_SetString(PyExc_ValueError, "maximum, the rows of the position table, is not given");
    return false;
  }
  const npy_intp shape[] = {said == NULL ? -1 : (npy_intp)maximum, (npy_intp)call->dim};
  return read_gradient(given, shape, call->options.writing, result);
}

static npy_intp rows_of(PyArrayObject *array) { return array == NULL ? 0 : PyArray_DIM(array, 0); }

/// Without tokens there is nothing to add, and overwriting leaves zeros.
static void clear_gradient(PyArrayObject *array, int32_t writing) {
  if (array == NULL || writing == EK_WRITE_ACCUMULATE) return;
  memset(PyArray_DATA(array), 0, (size_t)PyArray_NBYTES(array));
}

/// Dense gradients: (tokens, positions), None for what was not asked for. `token_out` and
/// `position_out` are the arrays, or True for new ones.
FUNCTION(backward) {
  TAKES(backward, 3, 3, "output_gradient", "ids", "vocabulary", BACKWARD_ARGUMENTS, "token_out",
        "position_out", "maximum", "accumulate");
  PyObject **more = values + 3 + BACKWARD_COUNT;
  backward call;
  PyObject *result = NULL;
  PyArrayObject *tokens = NULL, *positions = NULL;
  if (!read_backward(values, values + 3, &call) ||
      !read_optional_bool(more[3], "accumulate", &call.options.writing))
    goto done;
  const npy_intp shape[] = {(npy_intp)call.vocabulary, (npy_intp)call.dim};
  if (!read_gradient(more[0], shape, call.options.writing, &tokens) ||
      !read_position_gradient(more[1], more[2], &call, &positions))
    goto done;
  int32_t code = EK_OK;
  if (call.tokens.ids.count > 0) {
    WITHOUT_LOCK(call.gradient.count * 4,
                 code = ek_backward(call.gradient.data, call.tokens.ids.data,
                                    element_code(call.tokens.ids.type), call.tokens.rows,
                                    call.tokens.context, call.vocabulary, call.dim, memory(tokens),
                                    memory(positions), rows_of(positions), &call.options));
  } else {
    clear_gradient(tokens, call.options.writing);
    clear_gradient(positions, call.options.writing);
  }
  if (code != EK_OK) {
    raise_last_error(code);
    goto done;
  }
  result = Py_BuildValue("NN", array_or_none(tokens), array_or_none(positions));
  tokens = positions = NULL;
done:
  Py_XDECREF((PyObject *)tokens);
  Py_XDECREF((PyObject *)positions);
  release_backward(&call);
  return result;
}

/// The token table's gradient by rows, rising and each once, and the dense one of positions: (rows,
/// values, positions).
FUNCTION(backward_sparse) {
  TAKES(backward_sparse, 3, 3, "output_gradient", "ids", "vocabulary", BACKWARD_ARGUMENTS,
        "position_out", "maximum", "accumulate");
  PyObject **more = values + 3 + BACKWARD_COUNT;
  backward call;
  PyObject *result = NULL;
  PyArrayObject *rows = NULL, *row_values = NULL, *positions = NULL;
  if (!read_backward(values, values + 3, &call) ||
      !read_optional_bool(more[2], "accumulate", &call.options.writing) ||
      !read_position_gradient(more[0], more[1], &call, &positions))
    goto done;
  npy_intp capacity = call.tokens.ids.count;
  if (capacity > call.vocabulary) capacity = (npy_intp)call.vocabulary;
  const npy_intp shape[] = {capacity, (npy_intp)call.dim};
  rows = new_array(1, shape, INT64);
  row_values = new_array(2, shape, FLOAT32);
  if (rows == NULL || row_values == NULL) goto done;
  int64_t found = 0;
  int32_t code = EK_OK;
  if (capacity > 0) {
    WITHOUT_LOCK(call.gradient.count * 4,
                 code = ek_backward_sparse(
                     call.gradient.data, call.tokens.ids.data, element_code(call.tokens.ids.type),
                     call.tokens.rows, call.tokens.context, call.vocabulary, call.dim, memory(rows),
                     EK_DTYPE_INT64, memory(row_values), capacity, &found, memory(positions),
                     rows_of(positions), &call.options));
  } else {
    clear_gradient(positions, call.options.writing);
  }
  if (code != EK_OK) {
    raise_last_error(code);
    goto done;
  }
  result = Py_BuildValue("NNN", first_rows(rows, found), first_rows(row_values, found),
                         array_or_none(positions));
  rows = row_values = positions = NULL;
done:
  Py_XDECREF((PyObject *)rows);
  Py_XDECREF((PyObject *)row_values);
  Py_XDECREF((PyObject *)positions);
  release_backward(&call);
  return result;
}

FUNCTION(renormalize) {
  TAKES(renormalize, 3, 3, "table", "ids", "maximum_norm", "order");
  view table, ids;
  double maximum, order = 2;
  if (!read_double(values[2], "maximum_norm", &maximum) ||
      !read_optional_double(values[3], "order", &order))
    return NULL;
  if (!read_output(values[0], "table", ANY_FLOAT, &table)) return NULL;
  PyObject *result = NULL;
  if (is_table(&table, "table", -1) && read_ids(values[1], "ids", &ids)) {
    int64_t changed = 0;
    int32_t code;
    WITHOUT_LOCK(ids.count * table.shape[1] * 4,
                 code = ek_renormalize_rows(table.data, element_code(table.type), table.shape[0],
                                            table.shape[1], ids.data, element_code(ids.type),
                                            ids.count, maximum, order, &changed));
    result = code == EK_OK ? PyLong_FromLongLong(changed) : raise_last_error(code);
    release(&ids);
  }
  release(&table);
  return result;
}
