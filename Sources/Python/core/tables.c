// Tables that optimisers and layers share, and the optimisers.
#include "core.h"

#include <string.h>

const char *const table_kind = "embedkernel.table";
const char *const optimizer_kind = "embedkernel.optimizer";

static void destroy_table(PyObject *capsule) {
  ek_table_destroy(PyCapsule_GetPointer(capsule, table_kind));
}

static void destroy_optimizer(PyObject *capsule) {
  ek_optimizer_destroy(PyCapsule_GetPointer(capsule, optimizer_kind));
}

/// A new table's capsule; destroys it where that fails.
static PyObject *table_capsule(ek_table *table) {
  PyObject *capsule = handle_capsule(table, table_kind, destroy_table);
  if (capsule == NULL) ek_table_destroy(table);
  return capsule;
}

// MARK: Tables

FUNCTION(table_create) {
  static const char *const type_words[] = {"float32", "float16", "bfloat16", NULL};
  TAKES(table_create, 3, 3, "rows", "dim", "type");
  int64_t rows, dim;
  int type;
  if (!read_int64(values[0], "rows", &rows) || !read_int64(values[1], "dim", &dim) ||
      !read_word(values[2], "type", type_words, &type))
    return NULL;
  ek_table *table = NULL;
  int32_t code = ek_table_create(rows, dim, type, &table);
  return code == EK_OK ? table_capsule(table) : raise_last_error(code);
}

/// The library is done with an array's memory, on whatever thread.
static void forget_array(void *array) {
  if (!Py_IsInitialized()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF((PyObject *)array);
  PyGILState_Release(state);
}

/// A table of an array's own memory, which lives as long as the table. A vector is a table of one
/// row.
FUNCTION(table_over) {
  TAKES(table_over, 1, 1, "array");
  view array;
  if (!read_output(values[0], "table", ANY_FLOAT, &array)) return NULL;
  if (array.ndim != 1 && !is_table(&array, "table", -1)) {
    release(&array);
    return NULL;
  }
  bool vector = array.ndim == 1;
  PyObject *kept = Py_NewRef((PyObject *)array.array);
  ek_table *table = NULL;
  int32_t code =
      ek_table_borrow(array.data, vector ? 1 : array.shape[0], array.shape[vector ? 0 : 1],
                      element_code(array.type), forget_array, kept, &table);
  if (code != EK_OK) {
    raise_last_error(code);
    Py_DECREF(kept);
  }
  release(&array);
  return code == EK_OK ? table_capsule(table) : NULL;
}

/// A table's memory as an array, which keeps the table.
FUNCTION(table_array) {
  TAKES(table_array, 1, 1, "table");
  ek_table *table = read_handle(values[0], table_kind);
  if (table == NULL) return NULL;
  void *data;
  int64_t rows, dim;
  int32_t type;
  int32_t code = ek_table_get(table, &data, &rows, &dim, &type);
  if (code != EK_OK) return raise_last_error(code);
  const npy_intp shape[] = {rows, dim};
  return (PyObject *)array_over(data, 2, shape, element_type(type), true, Py_NewRef(values[0]));
}

FUNCTION(table_synchronise) {
  TAKES(table_synchronise, 1, 2, "table", "ids");
  ek_table *table = read_handle(values[0], table_kind);
  view ids = {0};
  if (table == NULL || (values[1] != NULL && !read_ids(values[1], "ids", &ids))) return NULL;
  int32_t code = EK_OK;
  // No ids would stand for all rows.
  if (values[1] == NULL || ids.count > 0) {
    WITHOUT_LOCK(WORTH_RELEASING, code = ek_table_synchronise(table, data_of(&ids),
                                                              element_code(ids.type), ids.count));
  }
  release(&ids);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

FUNCTION(table_draw) {
  static const char *const how_words[] = {"zeros", "normal", "uniform", "xavier", NULL};
  TAKES(table_draw, 4, 4, "table", "how", "a", "seed");
  ek_table *table = read_handle(values[0], table_kind);
  int how;
  double a;
  uint64_t seed = 0;
  if (table == NULL || !read_word(values[1], "how", how_words, &how) ||
      !read_double(values[2], "a", &a) || !read_optional_uint64(values[3], "seed", &seed))
    return NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_table_draw(table, how, a, seed));
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

// MARK: Optimisers

FUNCTION(optimizer_create) {
  static const char *const untouched_words[] = {"usual", "stepped", "left", "caught-up", NULL};
  static const char *const update_words[] = {"masters", "stochastic", NULL};
  TAKES(optimizer_create, 2, 2, "table", "name", "learning_rate", "weight_decay", "beta1", "beta2",
        "epsilon", "initial_sum", "rate_decay", "untouched", "updates", "frozen_row", "masters",
        "seed", "moment_dtype");
  static const char *const moment_words[] = {"float32", "float16", "bfloat16", NULL};
  ek_table *table = read_handle(values[0], table_kind);
  ek_optimizer_options options = EK_OPTIMIZER_OPTIONS_INIT;
  if (table == NULL) return NULL;
  if (!PyUnicode_Check(values[1])) {
    PyErr_Format(PyExc_TypeError, "name is %R: expected a string", values[1]);
    return NULL;
  }
  options.name = PyUnicode_AsUTF8AndSize(values[1], NULL);
  if (options.name == NULL ||
      !read_optional_double(values[2], "learning_rate", &options.learning_rate) ||
      !read_optional_double(values[3], "weight_decay", &options.weight_decay) ||
      !read_optional_double(values[4], "beta1", &options.beta1) ||
      !read_optional_double(values[5], "beta2", &options.beta2) ||
      !read_optional_double(values[6], "epsilon", &options.epsilon) ||
      !read_optional_double(values[7], "initial_sum", &options.initial_sum) ||
      !read_optional_double(values[8], "rate_decay", &options.rate_decay) ||
      !read_choice(values[9], "untouched", untouched_words, &options.untouched) ||
      !read_choice(values[10], "updates", update_words, &options.updates) ||
      !read_optional_int64(values[11], "frozen_row", &options.frozen_row) ||
      !read_optional_uint64(values[13], "seed", &options.seed) ||
      !read_choice(values[14], "moment_dtype", moment_words, &options.moment_dtype))
    return NULL;
  if (values[12] != NULL) {
    options.masters = read_handle(values[12], table_kind);
    if (options.masters == NULL) return NULL;
  }
  ek_optimizer *optimizer = NULL;
  int32_t code = ek_optimizer_create(table, &options, &optimizer);
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = handle_capsule(optimizer, optimizer_kind, destroy_optimizer);
  if (capsule == NULL) ek_optimizer_destroy(optimizer);
  return capsule;
}

/// A step by rows, by a dense gradient, or by the forward's output gradient, as `kind` says.
FUNCTION(optimizer_step) {
  static const char *const kind_words[] = {"rows", "dense", "output", NULL};
  TAKES(optimizer_step, 4, 5, "optimizer", "table", "kind", "gradient", "ids", "learning_rate",
        "weight_decay", "beta1", "beta2", "epsilon", "gradient_scale", "threads");
  ek_optimizer *optimizer = read_handle(values[0], optimizer_kind);
  ek_table *table = optimizer == NULL ? NULL : read_handle(values[1], table_kind);
  ek_step_options options = EK_STEP_OPTIONS_INIT;
  int kind;
  if (table == NULL || !read_word(values[2], "kind", kind_words, &kind) ||
      !read_optional_double(values[5], "learning_rate", &options.learning_rate) ||
      !read_optional_double(values[6], "weight_decay", &options.weight_decay) ||
      !read_optional_double(values[7], "beta1", &options.beta1) ||
      !read_optional_double(values[8], "beta2", &options.beta2) ||
      !read_optional_double(values[9], "epsilon", &options.epsilon) ||
      !read_optional_float(values[10], "gradient_scale", &options.gradient_scale) ||
      !read_optional_int32(values[11], "threads", &options.threads))
    return NULL;
  int64_t rows, dim;
  int32_t code = ek_table_get(table, NULL, &rows, &dim, NULL);
  if (code != EK_OK) return raise_last_error(code);
  view gradient = {0}, ids = {0};
  if (!read_array(values[3], "gradient", FLOAT32, &gradient)) return NULL;
  bool fits = false;
  if (kind == 1) {
    const npy_intp shape[] = {rows, dim};
    fits = has_shape(&gradient, "gradient", 2, shape);
  } else if (read_ids(values[4], "ids", &ids)) {
    npy_intp shape[MOST_DIMENSIONS + 1];
    int ndim = ids.ndim > MOST_DIMENSIONS ? MOST_DIMENSIONS : ids.ndim;
    for (int i = 0; i < ndim; i++) shape[i] = ids.shape[i];
    shape[ndim] = (npy_intp)dim;
    fits = has_shape(&gradient, "gradient", ndim + 1, shape);
  }
  if (fits) {
    npy_intp bytes = gradient.count * 4;
    if (kind == 1) {
      WITHOUT_LOCK(bytes, code = ek_optimizer_step_dense(optimizer, gradient.data, &options));
    } else if (kind == 0) {
      WITHOUT_LOCK(bytes, code = ek_optimizer_step_rows(optimizer, ids.data, element_code(ids.type),
                                                        ids.count, gradient.data, &options));
    } else {
      WITHOUT_LOCK(bytes,
                   code = ek_optimizer_step_output(optimizer, gradient.data, ids.data,
                                                   element_code(ids.type), ids.count, &options));
    }
    if (code != EK_OK) raise_last_error(code);
  }
  release(&gradient);
  release(&ids);
  return fits && code == EK_OK ? Py_NewRef(Py_None) : NULL;
}

FUNCTION(optimizer_catch_up) {
  TAKES(optimizer_catch_up, 1, 2, "optimizer", "ids");
  ek_optimizer *optimizer = read_handle(values[0], optimizer_kind);
  view ids = {0};
  if (optimizer == NULL || (values[1] != NULL && !read_ids(values[1], "ids", &ids))) return NULL;
  int32_t code = EK_OK;
  if (values[1] == NULL || ids.count > 0) {
    WITHOUT_LOCK(WORTH_RELEASING, code = ek_optimizer_catch_up(optimizer, data_of(&ids),
                                                               element_code(ids.type), ids.count));
  }
  release(&ids);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

/// Returns (step_count, is_behind, memory_bytes).
FUNCTION(optimizer_info) {
  TAKES(optimizer_info, 1, 1, "optimizer");
  ek_optimizer *optimizer = read_handle(values[0], optimizer_kind);
  if (optimizer == NULL) return NULL;
  int64_t steps, arrays, bytes;
  int32_t behind;
  int32_t code = ek_optimizer_get(optimizer, &steps, &behind, &arrays, &bytes);
  if (code != EK_OK) return raise_last_error(code);
  return Py_BuildValue("LNL", (long long)steps, PyBool_FromLong(behind), (long long)bytes);
}

/// The state's arrays by name, over the optimiser's own memory.
FUNCTION(optimizer_state) {
  TAKES(optimizer_state, 1, 1, "optimizer");
  ek_optimizer *optimizer = read_handle(values[0], optimizer_kind);
  if (optimizer == NULL) return NULL;
  int64_t arrays;
  int32_t code = ek_optimizer_get(optimizer, NULL, NULL, &arrays, NULL);
  PyObject *result = PyDict_New();
  for (int64_t i = 0; i < arrays && result != NULL && code == EK_OK; i++) {
    ek_state_array state;
    code = ek_optimizer_state(optimizer, i, &state);
    if (code != EK_OK) break;
    npy_intp shape[] = {(npy_intp)state.shape[0], (npy_intp)state.shape[1]};
    PyObject *array = (PyObject *)array_over(state.data, state.rank, shape,
                                             element_type(state.dtype), true, Py_NewRef(values[0]));
    if (array == NULL || PyDict_SetItemString(result, state.name, array) != 0) Py_CLEAR(result);
    Py_XDECREF(array);
  }
  if (code == EK_OK) return result;
  Py_XDECREF(result);
  return raise_last_error(code);
}

FUNCTION(optimizer_set_step_count) {
  TAKES(optimizer_set_step_count, 2, 2, "optimizer", "step_count");
  ek_optimizer *optimizer = read_handle(values[0], optimizer_kind);
  int64_t steps;
  if (optimizer == NULL || !read_int64(values[1], "step_count", &steps)) return NULL;
  int32_t code = ek_optimizer_set_step_count(optimizer, steps);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}
