// Safetensors and .npy files. Data is mapped: arrays over it keep the file, and are read-only.
#include "core.h"

#include <stdlib.h>

static const char *const file_kind = "embedkernel.safetensors";
static const char *const npy_kind = "embedkernel.npy";

static void destroy_file(PyObject *capsule) {
  ek_safetensors_destroy(PyCapsule_GetPointer(capsule, file_kind));
}

static void destroy_npy(PyObject *capsule) {
  ek_npy_destroy(PyCapsule_GetPointer(capsule, npy_kind));
}

/// A tensor as (name, number of its type, safetensors' name of it, shape, bytes).
static PyObject *tensor_facts(const ek_tensor *tensor, PyObject *file) {
  PyObject *shape = PyTuple_New(tensor->rank);
  for (int i = 0; i < tensor->rank && shape != NULL; i++) {
    PyObject *size = PyLong_FromLongLong(tensor->shape[i]);
    if (size == NULL || PyTuple_SetItem(shape, i, size) != 0) Py_CLEAR(shape);
  }
  if (shape == NULL) return NULL;
  npy_intp bytes[] = {(npy_intp)tensor->bytes};
  // NumPy would allocate where there is no address.
  static char nothing;
  void *data = tensor->bytes == 0 ? &nothing : (void *)tensor->data;
  PyObject *array = PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(NPY_UINT8), 1, bytes,
                                         NULL, data, NPY_ARRAY_CARRAY_RO, NULL);
  if (array == NULL || PyArray_SetBaseObject((PyArrayObject *)array, Py_NewRef(file)) != 0) {
    Py_XDECREF(array);
    Py_DECREF(shape);
    return NULL;
  }
  return Py_BuildValue("zizNN", tensor->name, (int)tensor->dtype, tensor->dtype_name, shape, array);
}

/// Returns (tensors, metadata) of a file: a list of facts, and a dict.
FUNCTION(safetensors_open) {
  TAKES(safetensors_open, 1, 1, "path");
  const char *name;
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  ek_safetensors *file = NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_safetensors_open(name, &file));
  Py_DECREF(path);
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = handle_capsule(file, file_kind, destroy_file);
  if (capsule == NULL) {
    ek_safetensors_destroy(file);
    return NULL;
  }
  int64_t tensors = 0, entries = 0;
  PyObject *list = PyList_New(0), *metadata = PyDict_New();
  code = ek_safetensors_count(file, &tensors);
  for (int64_t i = 0; code == EK_OK && i < tensors && !PyErr_Occurred(); i++) {
    ek_tensor tensor;
    code = ek_safetensors_tensor(file, i, &tensor);
    PyObject *facts = code == EK_OK ? tensor_facts(&tensor, capsule) : NULL;
    if (facts != NULL) PyList_Append(list, facts);
    Py_XDECREF(facts);
  }
  if (code == EK_OK) code = ek_safetensors_metadata_count(file, &entries);
  for (int64_t i = 0; code == EK_OK && i < entries && !PyErr_Occurred(); i++) {
    const char *key, *value;
    code = ek_safetensors_metadata(file, i, &key, &value);
    PyObject *text = code == EK_OK ? PyUnicode_FromString(value) : NULL;
    if (text != NULL) PyDict_SetItemString(metadata, key, text);
    Py_XDECREF(text);
  }
  Py_DECREF(capsule);
  if (code != EK_OK) raise_last_error(code);
  if (!PyErr_Occurred()) return Py_BuildValue("NN", list, metadata);
  Py_XDECREF(list);
  Py_XDECREF(metadata);
  return NULL;
}

/// A tensor to write, from (name, number of its type, safetensors' name or None, array).
static bool read_tensor(PyObject *item, ek_tensor *tensor, int64_t *shape) {
  PyObject *array;
  int type;
  if (!PyArg_ParseTuple(item, "sizO!", &tensor->name, &type, &tensor->dtype_name, &PyArray_Type,
                        &array))
    return false;
  PyArrayObject *values = (PyArrayObject *)array;
  if (!PyArray_IS_C_CONTIGUOUS(values) || !PyArray_ISNOTSWAPPED(values)) {
    PyErr_Format(PyExc_ValueError, "tensor %s is not C-contiguous in this machine's byte order",
                 tensor->name);
    return false;
  }
  tensor->dtype = type;
  tensor->rank = PyArray_NDIM(values);
  for (int i = 0; i < tensor->rank; i++) shape[i] = PyArray_DIM(values, i);
  tensor->shape = shape;
  tensor->data = PyArray_DATA(values);
  tensor->bytes = PyArray_NBYTES(values);
  return true;
}

/// Writes a list of (name, number, type name, array), and metadata as a list that alternates keys
/// and values.
FUNCTION(safetensors_write) {
  TAKES(safetensors_write, 3, 3, "path", "tensors", "metadata");
  enum { MOST_RANK = NPY_MAXDIMS_LEGACY_ITERS };
  Py_ssize_t tensors = PyList_Size(values[1]), texts = PyList_Size(values[2]);
  if (tensors < 0 || texts < 0) return NULL;
  const char *name;
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  ek_tensor *list = calloc((size_t)tensors + 1, sizeof *list);
  int64_t *shapes = calloc((size_t)tensors * MOST_RANK + 1, sizeof *shapes);
  const char **metadata = calloc((size_t)texts + 1, sizeof *metadata);
  if (list == NULL || shapes == NULL || metadata == NULL) PyErr_NoMemory();
  for (Py_ssize_t i = 0; i < tensors && !PyErr_Occurred(); i++) {
    read_tensor(PyList_GetItem(values[1], i), &list[i], shapes + i * MOST_RANK);
  }
  for (Py_ssize_t i = 0; i < texts && !PyErr_Occurred(); i++) {
    metadata[i] = PyUnicode_AsUTF8AndSize(PyList_GetItem(values[2], i), NULL);
  }
  int32_t code = EK_OK;
  if (!PyErr_Occurred()) {
    WITHOUT_LOCK(WORTH_RELEASING,
                 code = ek_safetensors_write(name, list, tensors, metadata, texts / 2));
    if (code != EK_OK) raise_last_error(code);
  }
  free(list);
  free(shapes);
  free(metadata);
  Py_DECREF(path);
  return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

FUNCTION(npy_open) {
  TAKES(npy_open, 1, 1, "path");
  const char *name;
  PyObject *path = read_path(values[0], "path", &name);
  if (path == NULL) return NULL;
  ek_npy *file = NULL;
  ek_tensor array = {0};
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING, code = ek_npy_open(name, &file, &array));
  Py_DECREF(path);
  if (code != EK_OK) return raise_last_error(code);
  PyObject *capsule = handle_capsule(file, npy_kind, destroy_npy);
  if (capsule == NULL) {
    ek_npy_destroy(file);
    return NULL;
  }
  PyObject *facts = tensor_facts(&array, capsule);
  Py_DECREF(capsule);
  return facts;
}

/// Writes an array of the type with that number.
FUNCTION(npy_write) {
  TAKES(npy_write, 3, 3, "path", "type", "array");
  int64_t type, shape[NPY_MAXDIMS_LEGACY_ITERS];
  if (!read_int64(values[1], "type", &type)) return NULL;
  PyObject *item = Py_BuildValue("siOO", "array", (int)type, Py_None, values[2]);
  ek_tensor tensor;
  bool read = item != NULL && read_tensor(item, &tensor, shape);
  Py_XDECREF(item);
  const char *name;
  PyObject *path = read ? read_path(values[0], "path", &name) : NULL;
  if (path == NULL) return NULL;
  int32_t code;
  WITHOUT_LOCK(WORTH_RELEASING,
               code = ek_npy_write(name, tensor.data, tensor.dtype, tensor.rank, tensor.shape));
  Py_DECREF(path);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}
