// New arrays for results, and arrays over memory that something else keeps.
//
// A large result lives in one of the library's buffers, which NumPy's array gives back when it
// dies: fresh memory of the system costs a page fault for every 4 KiB, up to nine tenths of a
// call's time.
#include "core.h"

#include <string.h>

/// Below it the C library's allocator has warm memory at hand.
enum { POOLED_BYTES = 128 * 1024 };

static const char *const buffer_name = "embedkernel.buffer";

static void give_back(PyObject *capsule) {
  ek_buffer_release(PyCapsule_GetPointer(capsule, buffer_name));
}

PyArrayObject *array_over(void *data, int ndim, const npy_intp *shape, int type, bool writable,
                          PyObject *owner) {
  PyArray_Descr *description = owner == NULL ? NULL : type_description(type);
  PyObject *array = NULL;
  if (description != NULL) {
    // Takes the reference to the description.
    array = PyArray_NewFromDescr(&PyArray_Type, description, ndim, shape, NULL, data,
                                 writable ? NPY_ARRAY_CARRAY : NPY_ARRAY_CARRAY_RO, NULL);
  }
  if (array == NULL) {
    Py_XDECREF(owner);
    return NULL;
  }
  // Takes the reference to the owner, also where it fails.
  if (PyArray_SetBaseObject((PyArrayObject *)array, owner) != 0) Py_CLEAR(array);
  return (PyArrayObject *)array;
}

PyArrayObject *new_array(int ndim, const npy_intp *shape, int type) {
  PyArray_Descr *description = type_description(type);
  if (description == NULL) return NULL;
  npy_intp size = PyDataType_ELSIZE(description);
  // The product is NumPy's to refuse where it overflows; here it only chooses.
  bool large = true;
  npy_intp bytes = size;
  for (int i = 0; i < ndim; i++) {
    if (shape[i] <= 0 || __builtin_mul_overflow(bytes, shape[i], &bytes)) large = false;
  }
  if (!large || bytes < POOLED_BYTES) {
    return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, description, ndim, shape, NULL,
                                                 NULL, 0, NULL);
  }
  Py_DECREF((PyObject *)description);
  void *buffer = NULL;
  int32_t code = ek_buffer_take((size_t)bytes, &buffer);
  if (code != 0) {
    raise_last_error(code);
    return NULL;
  }
  PyObject *owner = PyCapsule_New(buffer, buffer_name, give_back);
  if (owner == NULL) {
    ek_buffer_release(buffer);
    return NULL;
  }
  return array_over(buffer, ndim, shape, type, true, owner);
}

/// `out` of one of `types`, or a new array of `type`, which gets the result's.
static PyArrayObject *take_output(PyObject *out, int ndim, const npy_intp *shape, int types,
                                  int *type) {
  if (out == NULL) return new_array(ndim, shape, *type);
  view array;
  if (!read_output(out, "out", types, &array)) return NULL;
  PyArrayObject *result = NULL;
  if (has_shape(&array, "out", ndim, shape)) {
    result = array.array;
    *type = array.type;
    Py_INCREF((PyObject *)result);
  }
  release(&array);
  return result;
}

PyArrayObject *output_array(PyObject *out, int ndim, const npy_intp *shape, int type) {
  return take_output(out, ndim, shape, type, &type);
}

PyArrayObject *float_output_array(PyObject *out, int ndim, const npy_intp *shape, int *type) {
  return take_output(out, ndim, shape, ANY_FLOAT, type);
}

PyArrayObject *zeros(bool wanted, int ndim, const npy_intp *shape) {
  if (!wanted) return NULL;
  PyArrayObject *array = new_array(ndim, shape, FLOAT32);
  if (array != NULL) memset(PyArray_DATA(array), 0, (size_t)PyArray_NBYTES(array));
  return array;
}

PyObject *array_or_none(PyArrayObject *array) {
  return array != NULL ? (PyObject *)array : Py_NewRef(Py_None);
}

void *memory(PyArrayObject *array) { return array == NULL ? NULL : PyArray_DATA(array); }

PyObject *first_rows(PyArrayObject *array, int64_t count) {
  if (array == NULL || PyArray_DIM(array, 0) == count) return (PyObject *)array;
  PyObject *rows = PySequence_GetSlice((PyObject *)array, 0, (Py_ssize_t)count);
  Py_DECREF((PyObject *)array);
  return rows;
}
