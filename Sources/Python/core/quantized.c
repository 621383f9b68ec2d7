// Tables of quantised rows: made of floats, or of bytes that are rows already, and read by decoding
// and embedding.
#include "core.h"

const char *const rows_kind = "embedkernel.rows";

static void destroy_rows(PyObject *capsule) {
  ek_rows_destroy(PyCapsule_GetPointer(capsule, rows_kind));
}

static PyObject *rows_capsule(ek_row_table *table) {
  PyObject *capsule = handle_capsule(table, rows_kind, destroy_rows);
  if (capsule == NULL) ek_rows_destroy(table);
  return capsule;
}

/// A format's number by its name.
static bool read_format(PyObject *value, int32_t *format) {
  const char *name = PyUnicode_Check(value) ? PyUnicode_AsUTF8AndSize(value, NULL) : NULL;
  if (name == NULL) {
    if (!PyErr_Occurred()) PyErr_Format(PyExc_TypeError, "format is %R: expected a string", value);
    return false;
  }
  int32_t code = ek_rows_format_named(name, format);
  if (code != EK_OK) raise_last_error(code);
  return code == EK_OK;
}

/// Returns (block, bytes of a row, bytes of its scales).
FUNCTION(rows_format) {
  TAKES(rows_format, 2, 2, "format", "dim");
  int32_t format;
  int64_t dim;
  ek_rows_format_info info;
  if (!read_format(values[0], &format) || !read_int64(values[1], "dim", &dim)) return NULL;
  int32_t code = ek_rows_format_get(format, dim, &info);
  if (code != EK_OK) return raise_last_error(code);
  return Py_BuildValue("LLL", (long long)info.block, (long long)info.row_bytes,
                       (long long)info.scale_bytes);
}

FUNCTION(rows_quantize) {
  TAKES(rows_quantize, 2, 2, "table", "format", "threads");
  view table;
  int32_t format, threads = 0;
  if (!read_format(values[1], &format) || !read_optional_int32(values[2], "threads", &threads) ||
      !read_array(values[0], "table", FLOAT32, &table))
    return NULL;
  PyObject *result = NULL;
  if (is_table(&table, "table", -1)) {
    ek_row_table *rows = NULL;
    int32_t code;
    WITHOUT_LOCK(table.count * 4, code = ek_rows_quantize(table.data, table.shape[0],
                                                          table.shape[1], format, threads, &rows));
    result = code == EK_OK ? rows_capsule(rows) : raise_last_error(code);
  }
  release(&table);
  return result;
}

/// The arrays that a table reads from, given up.
static void forget(void *owner) {
  // Whatever ends the last use may run on any thread, and after the interpreter.
  if (!Py_IsInitialized()) return;
  PyGILState_STATE state = PyGILState_Ensure();
  Py_DECREF((PyObject *)owner);
  PyGILState_Release(state);
}

static bool read_bytes(PyObject *value, const char *name, const void **bytes, int64_t *count) {
  PyArrayObject *array = (PyArrayObject *)value;
  if (!PyArray_Check(value) || PyArray_TYPE(array) != NPY_UINT8 ||
      !PyArray_IS_C_CONTIGUOUS(array)) {
    PyErr_Format(PyExc_TypeError, "%s is no contiguous array of uint8", name);
    return false;
  }
  *bytes = PyArray_DATA(array);
  *count = PyArray_NBYTES(array);
  return true;
}

/// Over the bytes of arrays of uint8, which the table keeps.
FUNCTION(rows_wrap) {
  TAKES(rows_wrap, 4, 4, "bytes", "format", "rows", "dim", "scales", "rows_per_scale");
  ek_rows_source source = EK_ROWS_SOURCE_INIT;
  if (!read_format(values[1], &source.format) || !read_int64(values[2], "rows", &source.rows) ||
      !read_int64(values[3], "dim", &source.dim) ||
      !read_optional_int64(values[5], "rows_per_scale", &source.rows_a_scale) ||
      !read_bytes(values[0], "data", &source.bytes, &source.byte_count) ||
      (values[4] != NULL && !read_bytes(values[4], "scales", &source.scales, &source.scale_count)))
    return NULL;
  PyObject *owner = PyTuple_Pack(2, values[0], values[4] == NULL ? Py_None : values[4]);
  if (owner == NULL) return NULL;
  ek_row_table *rows = NULL;
  int32_t code = ek_rows_wrap(&source, forget, owner, &rows);
  if (code == EK_OK) return rows_capsule(rows);
  Py_DECREF(owner);
  return raise_last_error(code);
}

/// Returns (table, number of its format).
FUNCTION(rows_map) {
  TAKES(rows_map, 2, 2, "path", "tensor", "format", "scales", "resident_limit");
  const char *name,
      *tensor = PyUnicode_Check(values[1]) ? PyUnicode_AsUTF8AndSize(values[1], NULL) : NULL;
  const char *scales = values[3] == NULL ? NULL : PyUnicode_AsUTF8AndSize(values[3], NULL);
  int32_t format = EK_FORMAT_OF_TENSOR;
  int64_t limit = 0;
  if (tensor == NULL && !PyErr_Occurred())
    PyErr_Format(PyExc_TypeError, "tensor is %R: expected a string", values[1]);
  if (PyErr_Occurred() || (values[2] != NULL && !read_format(values[2], &format)) ||
      !read_optional_int64(values[4], "resident_limit", &limit))
    return NULL;
  if (values[4] != NULL && limit <= 0) {
    PyErr_Format(PyExc_ValueError, "resident_limit is %lld: expected bytes, or None for no limit",
                 (long long)limit);
    return NULL;
  }
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  ek_row_table *rows = NULL;
  ek_rows_source source = EK_ROWS_SOURCE_INIT;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_rows_map(name, tensor, format, scales, limit, &rows));
  Py_DECREF(path);
  if (code == EK_OK) code = ek_rows_get(rows, &source);
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = rows_capsule(rows);
  return capsule == NULL ? NULL : Py_BuildValue("Ni", capsule, (int)source.format);
}

/// Returns how many ids have their rows in memory.
FUNCTION(rows_prefetch) {
  TAKES(rows_prefetch, 2, 2, "table", "ids", "unknown", "wait");
  ek_row_table *table = read_handle(values[0], rows_kind);
  int32_t unknown = EK_UNKNOWN_ERROR, waits = 1;
  view ids;
  if (table == NULL || !read_choice(values[2], "unknown", unknown_words, &unknown) ||
      !read_optional_bool(values[3], "wait", &waits) || !read_ids(values[1], "ids", &ids))
    return NULL;
  int64_t done = 0;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING,
               code = ek_rows_prefetch(table, ids.data, element_code(ids.type), ids.count, unknown,
                                       waits ? EK_PREFETCH_FINISHED : EK_PREFETCH_STARTED, &done));
  release(&ids);
  return code == EK_OK ? PyLong_FromLongLong(done) : raise_last_error(code);
}

/// Bytes of a table as an array (rows, bytes / rows) that keeps the table; None where there are
/// none.
static PyObject *bytes_array(const void *bytes, int64_t count, int64_t rows, PyObject *table) {
  if (count == 0) return Py_NewRef(Py_None);
  npy_intp shape[] = {(npy_intp)rows, (npy_intp)(count / rows)};
  PyObject *array = PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(NPY_UINT8), 2, shape,
                                         NULL, (void *)bytes, NPY_ARRAY_CARRAY_RO, NULL);
  if (array != NULL && PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(table)) != 0) {
    Py_CLEAR(array);
  }
  return array;
}

/// Returns (rows, dim, bytes, scales or None, rows per scale).
FUNCTION(rows_info) {
  TAKES(rows_info, 1, 1, "table");
  ek_row_table *table = read_handle(values[0], rows_kind);
  ek_rows_source source = EK_ROWS_SOURCE_INIT;
  if (table == NULL) return NULL;
  int32_t code = ek_rows_get(table, &source);
  if (code != EK_OK) return raise_last_error(code);
  int64_t shared = source.rows_a_scale;
  int64_t scale_rows = shared == 0 ? 1 : (source.rows - 1) / shared + 1;
  PyObject *bytes = bytes_array(source.bytes, source.byte_count, source.rows, values[0]);
  PyObject *scales = bytes_array(source.scales, source.scale_count, scale_rows, values[0]);
  if (bytes == NULL || scales == NULL) {
    Py_XDECREF(bytes);
    Py_XDECREF(scales);
    return NULL;
  }
  return Py_BuildValue("LLNNL", (long long)source.rows, (long long)source.dim, bytes, scales,
                       (long long)shared);
}

FUNCTION(rows_decode) {
  TAKES(rows_decode, 3, 3, "table", "first", "count", "out", "threads");
  ek_row_table *table = read_handle(values[0], rows_kind);
  ek_rows_source source = EK_ROWS_SOURCE_INIT;
  int64_t first, rows;
  int32_t threads = 0;
  if (table == NULL || !read_int64(values[1], "first", &first) ||
      !read_int64(values[2], "count", &rows) ||
      !read_optional_int32(values[4], "threads", &threads))
    return NULL;
  int32_t code = ek_rows_get(table, &source);
  if (code != EK_OK) return raise_last_error(code);
  if (rows < 0) {
    PyErr_Format(PyExc_ValueError, "count is %lld: expected 0 or more", (long long)rows);
    return NULL;
  }
  // What is past the table is the library's to name, before memory is taken for it.
  const npy_intp shape[] = {rows <= source.rows ? (npy_intp)rows : 0, (npy_intp)source.dim};
  PyArrayObject *result = output_array(values[3], 2, shape, FLOAT32);
  if (result == NULL) return NULL;
  WITHOUT_LOCK(PyArray_NBYTES(result),
               code = ek_rows_decode(table, first, rows, memory(result), threads));
  if (code == EK_OK) return (PyObject *)result;
  Py_DECREF((PyObject *)result);
  return raise_last_error(code);
}

PyObject *embed_from_rows(PyObject *given, PyObject **values) {
  ek_embed_options options = EK_EMBED_OPTIONS_INIT;
  PyObject **more = values + 4 + PLACE_COUNT;
  PyArrayObject *result = NULL;
  view positions = {0};
  place stands = {0};
  batch tokens;
  ek_rows_source source = EK_ROWS_SOURCE_INIT;
  ek_row_table *table = read_handle(given, rows_kind);
  if (table == NULL) return NULL;
  int32_t code = ek_rows_get(table, &source);
  if (code != EK_OK) return raise_last_error(code);
  if (!read_batch(values[1], &tokens)) return NULL;
  if ((values[2] != NULL && (!read_array(values[2], "positions", ANY_FLOAT, &positions) ||
                             !is_table(&positions, "positions", (npy_intp)source.dim))) ||
      !read_place(values + 4, tokens.rows, tokens.context, &stands) ||
      !read_optional_float(more[0], "scale", &options.scale) ||
      !read_choice(more[1], "unknown", unknown_words, &options.unknown_ids) ||
      !read_choice(more[2], "overflow", overflow_words, &options.position_overflow) ||
      !read_choice(more[3], "backend", backend_words, &options.backend) ||
      !read_optional_int32(more[4], "threads", &options.threads))
    goto done;
  options.place = given_place(&stands);
  tokens.shape[tokens.ndim - 1] = (npy_intp)source.dim;
  int type = FLOAT32;
  result = float_output_array(values[3], tokens.ndim, tokens.shape, &type);
  if (result != NULL && tokens.ids.count > 0) {
    bool none = positions.array == NULL;
    WITHOUT_LOCK(
        PyArray_NBYTES(result),
        code = ek_rows_embed(tokens.ids.data, element_code(tokens.ids.type), tokens.rows,
                             tokens.context, table, data_of(&positions),
                             none ? 0 : element_code(positions.type), none ? 0 : positions.shape[0],
                             PyArray_DATA(result), element_code(type), &options));
    if (code != EK_OK) {
      Py_CLEAR(result);
      raise_last_error(code);
    }
  }
done:
  release(&stands.numbers);
  release(&positions);
  release(&tokens.ids);
  return (PyObject *)result;
}

FUNCTION(rows_embed) {
  TAKES(rows_embed, 2, 3, "table", "ids", "positions", "out", PLACE_ARGUMENTS, "scale", "unknown",
        "overflow", "backend", "threads");
  return embed_from_rows(values[0], values);
}
