// Bags: rows pooled, and the gradients of the table and of the weights. Tables are arrays, or
// capsules of quantised rows.
#include "core.h"

#include <string.h>

static const char *const pool_words[] = {"sum", "mean", "max", NULL};
static const char *const summation_words[] = {"chunked", "pairwise", "compensated", NULL};

/// What says how ids fall into bags and what becomes of their rows, in the order of BAG_ARGUMENTS.
typedef struct bag_call {
  ek_bag_layout layout;
  ek_bag_options options;
  view ids, numbers, weights;
  npy_intp bags;
} bag_call;

#define BAG_ARGUMENTS                                                                      \
  "offsets", "lengths", "include_last_offset", "weights", "mode", "padding_id", "unknown", \
      "backend", "threads"
enum { BAG_COUNT = 9 };

static void release_bags(bag_call *call) {
  release(&call->ids);
  release(&call->numbers);
  release(&call->weights);
}

static bool read_layout(PyObject **values, bag_call *call) {
  int32_t include_last = 0;
  ek_bag_layout *layout = &call->layout;
  if (!read_optional_bool(values[2], "include_last_offset", &include_last)) return false;
  if (values[0] != NULL && values[1] != NULL) {
    PyErr_SetString(PyExc_ValueError, "offsets and lengths are both given: expected one of them");
    return false;
  }
  if (include_last && values[0] == NULL) {
    PyErr_SetString(PyExc_ValueError, "include_last_offset is given without offsets");
    return false;
  }
  const char *name = values[0] != NULL ? "offsets" : "lengths";
  PyObject *numbers = values[0] != NULL ? values[0] : values[1];
  if (numbers == NULL) {
    if (call->ids.ndim != 2) {
      PyErr_Format(PyExc_ValueError,
                   "ids has %d dimensions: expected (batch, bag), or (N) with offsets or lengths",
                   call->ids.ndim);
      return false;
    }
    layout->kind = EK_BAGS_RECTANGLE;
    layout->count = call->bags = call->ids.shape[0];
    layout->length = call->ids.shape[1];
    return true;
  }
  if (call->ids.ndim != 1) {
    PyErr_Format(PyExc_ValueError, "ids has %d dimensions: expected 1 with %s", call->ids.ndim,
                 name);
    return false;
  }
  const npy_intp any[] = {-1};
  if (!read_ids(numbers, name, &call->numbers) || !has_shape(&call->numbers, name, 1, any))
    return false;
  layout->kind = values[0] == NULL ? EK_BAGS_LENGTHS
                 : include_last    ? EK_BAGS_OFFSETS_WITH_LAST
                                   : EK_BAGS_OFFSETS;
  layout->dtype = element_code(call->numbers.type);
  layout->numbers = call->numbers.data;
  layout->count = call->bags = call->numbers.count;
  if (!include_last) return true;
  if (call->bags == 0) {
    PyErr_SetString(PyExc_ValueError, "offsets is empty: expected the last one in it");
    return false;
  }
  call->bags--;
  return true;
}

/// Reads `ids` and the values of BAG_ARGUMENTS.
static bool read_bags(PyObject *ids, PyObject **values, bag_call *call) {
  *call = (bag_call){.layout = EK_BAG_LAYOUT_INIT, .options = EK_BAG_OPTIONS_INIT};
  ek_bag_options *options = &call->options;
  if (!read_ids(ids, "ids", &call->ids) || !read_layout(values, call) ||
      !read_choice(values[4], "mode", pool_words, &options->pool) ||
      !read_optional_int64(values[5], "padding_id", &options->padding_id) ||
      !read_choice(values[6], "unknown", unknown_words, &options->unknown_ids) ||
      !read_choice(values[7], "backend", backend_words, &options->backend) ||
      !read_optional_int32(values[8], "threads", &options->threads))
    return false;
  if (values[5] != NULL && options->padding_id < 0) {
    PyErr_Format(PyExc_ValueError, "padding_id is %lld: expected an id",
                 (long long)options->padding_id);
    return false;
  }
  if (values[3] == NULL) return true;
  if (!read_array(values[3], "weights", FLOAT32, &call->weights) ||
      !has_shape(&call->weights, "weights", call->ids.ndim, call->ids.shape))
    return false;
  options->weights = call->weights.data;
  return true;
}

// MARK: Tables

/// An array, or quantised rows.
typedef struct bag_table {
  view array;
  ek_row_table *rows;
  npy_intp vocabulary, dim;
  int type;
} bag_table;

static bool read_bag_table(PyObject *value, bag_table *table) {
  *table = (bag_table){.type = FLOAT32};
  if (PyCapsule_IsValid(value, rows_kind)) {
    ek_rows_source source = EK_ROWS_SOURCE_INIT;
    table->rows = PyCapsule_GetPointer(value, rows_kind);
    int32_t code = ek_rows_get(table->rows, &source);
    if (code != EK_OK) {
      raise_last_error(code);
      return false;
    }
    table->vocabulary = (npy_intp)source.rows;
    table->dim = (npy_intp)source.dim;
    return true;
  }
  if (!read_array(value, "table", ANY_FLOAT, &table->array)) return false;
  if (!is_table(&table->array, "table", -1)) {
    release(&table->array);
    table->array = (view){0};
    return false;
  }
  table->vocabulary = table->array.shape[0];
  table->dim = table->array.shape[1];
  table->type = table->array.type;
  return true;
}

// MARK: Calls

/// Returns the pooled rows, and with `with_winners` of a maximum (rows, winners).
FUNCTION(bag) {
  TAKES(bag, 2, 2, "table", "ids", BAG_ARGUMENTS, "out", "with_winners");
  PyObject **more = values + 2 + BAG_COUNT;
  bag_table table;
  bag_call call = {0};
  PyArrayObject *result = NULL, *winners = NULL;
  int32_t with_winners = 0, code = EK_OK;
  if (!read_bag_table(values[0], &table)) return NULL;
  if (!read_bags(values[1], values + 2, &call) ||
      !read_optional_bool(more[1], "with_winners", &with_winners))
    goto done;
  const npy_intp shape[] = {call.bags, table.dim};
  int type = table.type;
  result = float_output_array(more[0], 2, shape, &type);
  if (result == NULL) goto done;
  if (with_winners && (winners = new_array(2, shape, INT32)) == NULL) goto done;
  const int32_t written = element_code(type), ids = element_code(call.ids.type);
  if (table.rows != NULL) {
    WITHOUT_LOCK(PyArray_NBYTES(result) + 64 * call.ids.count,
                 code = ek_rows_bag(call.ids.data, ids, call.ids.count, &call.layout, table.rows,
                                    memory(result), written, memory(winners), &call.options));
  } else {
    WITHOUT_LOCK(PyArray_NBYTES(result) + 64 * call.ids.count,
                 code = ek_bag(call.ids.data, ids, call.ids.count, &call.layout, table.array.data,
                               element_code(table.type), table.vocabulary, table.dim,
                               memory(result), written, memory(winners), &call.options));
  }
  if (code != EK_OK) raise_last_error(code);
done:
  release_bags(&call);
  release(&table.array);
  if (PyErr_Occurred()) {
    Py_XDECREF((PyObject *)result);
    Py_XDECREF((PyObject *)winners);
    return NULL;
  }
  return winners == NULL ? (PyObject *)result : Py_BuildValue("NN", result, winners);
}

#define BAG_BACKWARD_ARGUMENTS \
  "winners", "gradient_scale", "scale_by_frequency", "summation", "token_out", "accumulate"

/// Dense, or as (rows, values) where `sparse`.
FUNCTION(bag_backward) {
  TAKES(bag_backward, 3, 3, "output_gradient", "ids", "vocabulary", BAG_ARGUMENTS,
        BAG_BACKWARD_ARGUMENTS, "sparse");
  PyObject **more = values + 3 + BAG_COUNT, *result = NULL;
  bag_call call = {0};
  view gradient = {0}, winners = {0};
  PyArrayObject *rows = NULL, *dense = NULL;
  int64_t vocabulary = 0, found = 0;
  int32_t sparse = 0, code = EK_OK;
  if (!read_output_gradient(values[0], &gradient)) return NULL;
  if (!read_bags(values[1], values + 3, &call) ||
      !read_int64(values[2], "vocabulary", &vocabulary) ||
      !read_optional(more[0], "winners", INT32, &winners) ||
      !read_optional_float(more[1], "gradient_scale", &call.options.gradient_scale) ||
      !read_optional_bool(more[2], "scale_by_frequency", &call.options.frequency) ||
      !read_choice(more[3], "summation", summation_words, &call.options.summation) ||
      !read_optional_bool(more[5], "accumulate", &call.options.writing) ||
      !read_optional_bool(more[6], "sparse", &sparse))
    goto done;
  if (vocabulary < 1) {
    PyErr_Format(PyExc_ValueError, "vocabulary is %lld: expected 1 or more", (long long)vocabulary);
    goto done;
  }
  const npy_intp pooled[] = {call.bags, -1};
  if (!has_shape(&gradient, "output_gradient", 2, pooled) ||
      (more[0] != NULL && !has_shape(&winners, "winners", 2, gradient.shape)))
    goto done;
  const npy_intp dim = gradient.shape[1];
  npy_intp capacity = call.ids.count < vocabulary ? call.ids.count : (npy_intp)vocabulary;
  const npy_intp shape[] = {sparse ? capacity : (npy_intp)vocabulary, dim};
  if (sparse && (rows = new_array(1, shape, INT64)) == NULL) goto done;
  if (more[4] == NULL && !sparse && call.options.writing == EK_WRITE_ACCUMULATE) {
    dense = zeros(true, 2, shape);
  } else {
    dense = output_array(sparse ? NULL : more[4], 2, shape, FLOAT32);
  }
  if (dense == NULL) goto done;
  const int32_t ids = element_code(call.ids.type);
  if (sparse) {
    WITHOUT_LOCK(gradient.count * 4 + 64 * call.ids.count,
                 code = ek_bag_backward_sparse(gradient.data, call.ids.data, ids, call.ids.count,
                                               &call.layout, data_of(&winners), vocabulary, dim,
                                               memory(rows), EK_DTYPE_INT64, memory(dense),
                                               capacity, &found, &call.options));
  } else {
    WITHOUT_LOCK(
        PyArray_NBYTES(dense),
        code = ek_bag_backward(gradient.data, call.ids.data, ids, call.ids.count, &call.layout,
                               data_of(&winners), vocabulary, dim, memory(dense), &call.options));
  }
  if (code != EK_OK) {
    raise_last_error(code);
  } else if (sparse) {
    result = Py_BuildValue("NN", first_rows(rows, found), first_rows(dense, found));
    rows = dense = NULL;
  } else {
    result = (PyObject *)dense;
    dense = NULL;
  }
done:
  Py_XDECREF((PyObject *)rows);
  Py_XDECREF((PyObject *)dense);
  release(&winners);
  release_bags(&call);
  release(&gradient);
  return result;
}

/// The gradient of a sum's weights, of the ids' shape.
FUNCTION(bag_weight_gradient) {
  TAKES(bag_weight_gradient, 3, 3, "output_gradient", "table", "ids", BAG_ARGUMENTS);
  bag_call call = {0};
  bag_table table;
  view gradient = {0};
  PyArrayObject *result = NULL;
  if (!read_bag_table(values[1], &table)) return NULL;
  if (!read_output_gradient(values[0], &gradient) || !read_bags(values[2], values + 3, &call))
    goto done;
  const npy_intp pooled[] = {call.bags, table.dim};
  if (!has_shape(&gradient, "output_gradient", 2, pooled)) goto done;
  result = new_array(call.ids.ndim, call.ids.shape, FLOAT32);
  if (result == NULL) goto done;
  const int32_t ids = element_code(call.ids.type);
  int32_t code;
  if (table.rows != NULL) {
    WITHOUT_LOCK(gradient.count * 4 + 64 * call.ids.count,
                 code = ek_rows_bag_weight_gradient(gradient.data, call.ids.data, ids,
                                                    call.ids.count, &call.layout, table.rows,
                                                    memory(result), &call.options));
  } else {
    WITHOUT_LOCK(
        gradient.count * 4 + 64 * call.ids.count,
        code = ek_bag_weight_gradient(gradient.data, call.ids.data, ids, call.ids.count,
                                      &call.layout, table.array.data, element_code(table.type),
                                      table.vocabulary, table.dim, memory(result), &call.options));
  }
  if (code != EK_OK) {
    Py_CLEAR(result);
    raise_last_error(code);
  }
done:
  release(&gradient);
  release_bags(&call);
  release(&table.array);
  return (PyObject *)result;
}

// MARK: Steps

/// Steps a table by the gradient of the output of bags, (B, D).
FUNCTION(optimizer_step_bags) {
  TAKES(optimizer_step_bags, 4, 4, "optimizer", "table", "output_gradient", "ids", BAG_ARGUMENTS,
        "winners", "scale_by_frequency", "learning_rate", "gradient_scale");
  PyObject **more = values + 4 + BAG_COUNT;
  ek_optimizer *optimizer = read_handle(values[0], optimizer_kind);
  ek_table *table = optimizer == NULL ? NULL : read_handle(values[1], table_kind);
  ek_step_options options = EK_STEP_OPTIONS_INIT;
  bag_call call = {0};
  view gradient = {0}, winners = {0};
  int64_t dim;
  if (table == NULL) return NULL;
  int32_t code = ek_table_get(table, NULL, NULL, &dim, NULL);
  if (code != EK_OK) return raise_last_error(code);
  if (!read_output_gradient(values[2], &gradient)) return NULL;
  if (!read_bags(values[3], values + 4, &call) ||
      !read_optional(more[0], "winners", INT32, &winners) ||
      !read_optional_bool(more[1], "scale_by_frequency", &call.options.frequency) ||
      !read_optional_double(more[2], "learning_rate", &options.learning_rate) ||
      !read_optional_float(more[3], "gradient_scale", &options.gradient_scale))
    goto done;
  options.threads = call.options.threads;
  const npy_intp shape[] = {call.bags, (npy_intp)dim};
  if (!has_shape(&gradient, "output_gradient", 2, shape) ||
      (more[0] != NULL && !has_shape(&winners, "winners", 2, shape)))
    goto done;
  WITHOUT_LOCK(gradient.count * 4 + 64 * call.ids.count,
               code = ek_optimizer_step_bags(
                   optimizer, gradient.data, call.ids.data, element_code(call.ids.type),
                   call.ids.count, &call.layout, data_of(&winners), &call.options, &options));
  if (code != EK_OK) raise_last_error(code);
done:
  release(&winners);
  release_bags(&call);
  release(&gradient);
  return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}
