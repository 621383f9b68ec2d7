// Arrays in and out: what of an argument a kernel can read as it lies, and new arrays for results.
//
// A float array is never copied behind a caller's back, as a table may be gigabytes: one that isn't
// C-contiguous is refused by name. Ids are few, so other integers and other strides are copied.
#include "core.h"

#include <string.h>

// MARK: Types

typedef struct type_fact {
  int type;
  const char *name;
  int number;
} type_fact;

/// bfloat16 has no number before ml_dtypes is imported.
static type_fact facts[] = {
    {FLOAT32, "float32", NPY_FLOAT32}, {FLOAT16, "float16", NPY_FLOAT16},
    {INT32, "int32", NPY_INT32},       {INT64, "int64", NPY_INT64},
    {INT8, "int8", NPY_INT8},          {BFLOAT16, "bfloat16", -1},
};
enum { FACTS = sizeof facts / sizeof facts[0] };

static const type_fact *fact(int type) {
  for (int i = 0; i < FACTS; i++) {
    if (facts[i].type == type) return &facts[i];
  }
  return NULL;
}

const char *type_name(int type) {
  const type_fact *found = fact(type);
  return found == NULL ? "unknown" : found->name;
}

/// The description of ml_dtypes.bfloat16, kept for good.
static PyArray_Descr *bfloat16_description(void) {
  static PyArray_Descr *kept;
  if (kept == NULL) {
    PyObject *module = PyImport_ImportModule("ml_dtypes");
    PyObject *type = module == NULL ? NULL : PyObject_GetAttrString(module, "bfloat16");
    if (type != NULL && PyArray_DescrConverter(type, &kept)) {
      facts[FACTS - 1].number = kept->type_num;
    }
    Py_XDECREF(type);
    Py_XDECREF(module);
  }
  return kept;
}

PyArray_Descr *type_description(int type) {
  if (type == BFLOAT16) {
    PyArray_Descr *description = bfloat16_description();
    Py_XINCREF((PyObject *)description);
    return description;
  }
  return PyArray_DescrFromType(fact(type)->number);
}

/// The type of an array's elements, 0 for one that no kernel takes.
static int type_of(PyArrayObject *array) {
  int number = PyArray_TYPE(array);
  switch (number) {
    case NPY_FLOAT32: return FLOAT32;
    case NPY_FLOAT16: return FLOAT16;
    case NPY_INT: return sizeof(npy_int) == 4 ? INT32 : INT64;
    case NPY_LONG: return sizeof(npy_long) == 8 ? INT64 : INT32;
    case NPY_LONGLONG: return INT64;
    default: break;
  }
  if (number < NPY_USERDEF) return 0;
  if (facts[FACTS - 1].number < 0 && bfloat16_description() == NULL) {
    PyErr_Clear();
    return 0;
  }
  return number == facts[FACTS - 1].number ? BFLOAT16 : 0;
}

int32_t element_code(int type) {
  switch (type) {
    case FLOAT32: return EK_DTYPE_FLOAT32;
    case FLOAT16: return EK_DTYPE_FLOAT16;
    case BFLOAT16: return EK_DTYPE_BFLOAT16;
    case INT32: return EK_DTYPE_INT32;
    default: return EK_DTYPE_INT64;
  }
}

int element_type(int32_t code) {
  switch (code) {
    case EK_DTYPE_FLOAT32: return FLOAT32;
    case EK_DTYPE_FLOAT16: return FLOAT16;
    case EK_DTYPE_BFLOAT16: return BFLOAT16;
    case EK_DTYPE_INT32: return INT32;
    case EK_DTYPE_INT8: return INT8;
    default: return INT64;
  }
}

// MARK: Reading

/// Says what an array of the wrong type is, and what was expected.
static bool wrong_type(const char *name, PyObject *found, int types) {
  PyObject *expected = NULL;
  for (int i = 0; i < FACTS; i++) {
    if ((types & facts[i].type) == 0) continue;
    PyObject *longer = expected == NULL ? PyUnicode_FromString(facts[i].name)
                                        : PyUnicode_FromFormat("%U or %s", expected, facts[i].name);
    Py_XDECREF(expected);
    expected = longer;
    if (expected == NULL) return false;
  }
  PyErr_Format(PyExc_TypeError, "%s has elements of %S: expected %U", name, found, expected);
  Py_XDECREF(expected);
  return false;
}

static bool wrong_type_of(const char *name, PyArrayObject *array, int types) {
  return wrong_type(name, (PyObject *)PyArray_DESCR(array), types);
}

/// A masked array reads like any other, but for its mask, which a kernel would pass over.
static bool refuse_masks(PyObject *value, const char *name) {
  if (PyArray_CheckExact(value) || !PyObject_HasAttrString(value, "_mask")) return true;
  PyErr_Format(PyExc_TypeError, "%s is a masked array: expected one without a mask", name);
  return false;
}

/// `value` as an array: itself, or one over the memory it shows by DLPack. False for anything else.
static bool as_array(PyObject *value, const char *name, view *result) {
  result->made = NULL;
  if (PyArray_Check(value)) {
    if (!refuse_masks(value, name)) return false;
    result->array = (PyArrayObject *)value;
    return true;
  }
  if (!PyObject_HasAttrString(value, "__dlpack__")) {
    PyErr_Format(PyExc_TypeError,
                 "%s is a %R: expected a NumPy array, or one that shows itself by DLPack", name,
                 (PyObject *)Py_TYPE(value));
    return false;
  }
  result->made = array_from_dlpack(value);
  result->array = (PyArrayObject *)result->made;
  return result->made != NULL;
}

static void fill(view *result, int type) {
  result->data = PyArray_DATA(result->array);
  result->type = type;
  result->ndim = PyArray_NDIM(result->array);
  result->shape = PyArray_DIMS(result->array);
  result->count = PyArray_SIZE(result->array);
}

static bool plain(PyArrayObject *array) {
  return PyArray_IS_C_CONTIGUOUS(array) && PyArray_ISALIGNED(array) && PyArray_ISNOTSWAPPED(array);
}

bool read_array(PyObject *value, const char *name, int types, view *result) {
  if (!as_array(value, name, result)) return false;
  int type = type_of(result->array);
  if ((type & types) == 0) {
    wrong_type_of(name, result->array, types);
  } else if (!PyArray_IS_C_CONTIGUOUS(result->array)) {
    PyErr_Format(PyExc_ValueError,
                 "%s is not C-contiguous: pass numpy.ascontiguousarray(%s), which copies it", name,
                 name);
  } else if (!plain(result->array)) {
    PyErr_Format(PyExc_ValueError,
                 "%s is not aligned, or not in this machine's byte order: pass a copy of it", name);
  } else {
    fill(result, type);
    return true;
  }
  release(result);
  return false;
}

bool read_output(PyObject *value, const char *name, int types, view *result) {
  if (!read_array(value, name, types, result)) return false;
  if (PyArray_ISWRITEABLE(result->array)) return true;
  PyErr_Format(PyExc_ValueError, "%s is read-only: expected an array that can be written to", name);
  release(result);
  return false;
}

/// Ids as a new array of int64, where they are integers.
static bool copy_ids(PyObject *value, const char *name, view *result) {
  PyObject *array = PyArray_FROM_O(value);
  if (array == NULL) return false;
  PyArrayObject *ids = (PyArrayObject *)array;
  PyObject *copy = NULL;
  // What has no elements has no type either: NumPy reads [] as float64.
  bool empty = PyArray_SIZE(ids) == 0 && !PyArray_Check(value);
  if (!PyArray_ISINTEGER(ids) && !empty) {
    PyErr_Format(PyExc_TypeError, "%s has elements of %S: expected integers", name,
                 (PyObject *)PyArray_DESCR(ids));
  } else if (PyArray_TYPE(ids) == NPY_ULONG || PyArray_TYPE(ids) == NPY_ULONGLONG) {
    PyErr_Format(PyExc_TypeError, "%s has elements of %S: expected integers that int64 holds", name,
                 (PyObject *)PyArray_DESCR(ids));
  } else {
    PyArray_Descr *description = PyArray_DescrFromType(NPY_INT64);
    int flags = NPY_ARRAY_CARRAY_RO | NPY_ARRAY_NOTSWAPPED | (empty ? NPY_ARRAY_FORCECAST : 0);
    copy = PyArray_FromArray(ids, description, flags);
  }
  Py_DECREF(array);
  if (copy == NULL) return false;
  result->made = copy;
  result->array = (PyArrayObject *)copy;
  fill(result, INT64);
  return true;
}

bool read_ids(PyObject *value, const char *name, view *result) {
  result->made = NULL;
  if (!PyArray_Check(value) && !PyObject_HasAttrString(value, "__dlpack__")) {
    return copy_ids(value, name, result);
  }
  if (!as_array(value, name, result)) return false;
  int type = type_of(result->array);
  if ((type & ANY_ID) != 0 && plain(result->array)) {
    fill(result, type);
    return true;
  }
  PyObject *given = result->made;
  result->made = NULL;
  bool copied = copy_ids((PyObject *)result->array, name, result);
  Py_XDECREF(given);
  return copied;
}

bool read_mask(PyObject *value, const char *name, view *result) {
  PyObject *array = PyArray_FROM_O(value);
  if (array == NULL) return false;
  PyArrayObject *mask = (PyArrayObject *)array;
  PyObject *bytes = NULL;
  if (!PyArray_ISBOOL(mask) && !PyArray_ISINTEGER(mask)) {
    PyErr_Format(PyExc_TypeError, "%s has elements of %S: expected booleans or integers", name,
                 (PyObject *)PyArray_DESCR(mask));
  } else {
    // Any number but 0 is true.
    PyArray_Descr *description = PyArray_DescrFromType(NPY_BOOL);
    bytes = PyArray_FromArray(mask, description, NPY_ARRAY_CARRAY_RO | NPY_ARRAY_FORCECAST);
  }
  Py_DECREF(array);
  if (bytes == NULL) return false;
  result->made = bytes;
  result->array = (PyArrayObject *)bytes;
  fill(result, 0);
  return true;
}

bool read_optional(PyObject *value, const char *name, int types, view *result) {
  *result = (view){0};
  return value == NULL || read_array(value, name, types, result);
}

void release(view *array) {
  Py_CLEAR(array->made);
  array->array = NULL;
}

/// A shape as Python writes it, a new reference; -1 is written as `?`.
static PyObject *shape_text(int ndim, const npy_intp *shape) {
  PyObject *text = PyUnicode_FromString("(");
  for (int i = 0; i < ndim && text != NULL; i++) {
    PyObject *longer = shape[i] < 0
                           ? PyUnicode_FromFormat("%U%s?", text, i ? ", " : "")
                           : PyUnicode_FromFormat("%U%s%zd", text, i ? ", " : "", shape[i]);
    Py_DECREF(text);
    text = longer;
  }
  if (text == NULL) return NULL;
  PyObject *closed = PyUnicode_FromFormat(ndim == 1 ? "%U,)" : "%U)", text);
  Py_DECREF(text);
  return closed;
}

bool has_shape(const view *array, const char *name, int ndim, const npy_intp *shape) {
  bool same = array->ndim == ndim;
  for (int i = 0; same && i < ndim; i++) same = shape[i] < 0 || array->shape[i] == shape[i];
  if (same) return true;
  PyObject *found = shape_text(array->ndim, array->shape);
  PyObject *expected = shape_text(ndim, shape);
  if (found != NULL && expected != NULL) {
    PyErr_Format(PyExc_ValueError, "%s has shape %U: expected %U", name, found, expected);
  }
  Py_XDECREF(found);
  Py_XDECREF(expected);
  return false;
}

// MARK: Batches of ids

bool read_batch(PyObject *value, batch *result) {
  if (!read_ids(value, "ids", &result->ids)) return false;
  int ndim = result->ids.ndim;
  if (ndim < 1 || ndim > MOST_DIMENSIONS) {
    PyErr_Format(PyExc_ValueError, "ids has %d dimensions: expected 1 to %d", ndim,
                 MOST_DIMENSIONS);
    release(&result->ids);
    return false;
  }
  result->ndim = ndim + 1;
  result->rows = 1;
  for (int i = 0; i < ndim; i++) {
    result->shape[i] = result->ids.shape[i];
    if (i + 1 < ndim) result->rows *= result->ids.shape[i];
  }
  result->context = result->ids.shape[ndim - 1];
  return true;
}

bool is_table(const view *table, const char *name, npy_intp dim) {
  const npy_intp shape[] = {-1, dim};
  return has_shape(table, name, 2, shape);
}
