// DLPack: arrays of other libraries as NumPy's, and NumPy's as others', without a copy.
//
// NumPy itself knows neither bfloat16 nor the names of ml_dtypes here, so both ways are written
// out. The structures are those of DLPack 1.0; a producer that only knows what came before it is
// served too, and its memory is then read-only, as it has no flag that says otherwise.
#include "core.h"
#include "dlpack.h"

#include <stdlib.h>

static const char *const plain_name = "dltensor";
static const char *const versioned_name = "dltensor_versioned";
static const char *const used_plain_name = "used_dltensor";
static const char *const used_versioned_name = "used_dltensor_versioned";
static const char *const kept_name = "embedkernel.dlpack";

// MARK: In

static void free_kept_versioned(PyObject *capsule) {
  dl_versioned *managed = PyCapsule_GetPointer(capsule, kept_name);
  if (managed != NULL && managed->deleter != NULL) managed->deleter(managed);
}

static void free_kept(PyObject *capsule) {
  dl_managed *managed = PyCapsule_GetPointer(capsule, kept_name);
  if (managed != NULL && managed->deleter != NULL) managed->deleter(managed);
}

/// NumPy's description of a DLPack type, a new reference.
static PyArray_Descr *description_of(dl_type type) {
  int number = NPY_NOTYPE;
  if (type.lanes == 1) {
    switch (type.code << 8 | type.bits) {
      case DL_FLOAT << 8 | 16: number = NPY_FLOAT16; break;
      case DL_FLOAT << 8 | 32: number = NPY_FLOAT32; break;
      case DL_FLOAT << 8 | 64: number = NPY_FLOAT64; break;
      case DL_INTEGER << 8 | 8: number = NPY_INT8; break;
      case DL_INTEGER << 8 | 16: number = NPY_INT16; break;
      case DL_INTEGER << 8 | 32: number = NPY_INT32; break;
      case DL_INTEGER << 8 | 64: number = NPY_INT64; break;
      case DL_UNSIGNED << 8 | 8: number = NPY_UINT8; break;
      case DL_UNSIGNED << 8 | 16: number = NPY_UINT16; break;
      case DL_UNSIGNED << 8 | 32: number = NPY_UINT32; break;
      case DL_UNSIGNED << 8 | 64: number = NPY_UINT64; break;
      case DL_BOOL << 8 | 8: number = NPY_BOOL; break;
      case DL_BFLOAT << 8 | 16: return type_description(BFLOAT16);
      default: break;
    }
  }
  if (number != NPY_NOTYPE) return PyArray_DescrFromType(number);
  PyErr_Format(PyExc_TypeError,
               "DLPack shows elements of code %d, %d bits, %d lanes, which NumPy has not",
               (int)type.code, (int)type.bits, (int)type.lanes);
  return NULL;
}

/// An array over a tensor whose memory `owner` keeps; takes the reference to `owner`.
static PyObject *array_over_tensor(const dl_tensor *tensor, bool writable, PyObject *owner) {
  npy_intp shape[NPY_MAXDIMS_LEGACY_ITERS], strides[NPY_MAXDIMS_LEGACY_ITERS];
  PyArray_Descr *description = NULL;
  if (tensor->device.kind != DL_CPU) {
    PyErr_Format(PyExc_BufferError, "DLPack shows memory of device %d: expected the CPU's",
                 (int)tensor->device.kind);
  } else if (tensor->ndim < 0 || tensor->ndim > NPY_MAXDIMS_LEGACY_ITERS) {
    PyErr_Format(PyExc_BufferError, "DLPack shows %d dimensions: expected %d at most",
                 (int)tensor->ndim, NPY_MAXDIMS_LEGACY_ITERS);
  } else {
    description = description_of(tensor->type);
  }
  if (description == NULL) {
    Py_DECREF(owner);
    return NULL;
  }
  npy_intp size = PyDataType_ELSIZE(description);
  npy_intp packed = size;
  for (int i = tensor->ndim - 1; i >= 0; i--) {
    shape[i] = (npy_intp)tensor->shape[i];
    strides[i] = tensor->strides == NULL ? packed : (npy_intp)tensor->strides[i] * size;
    packed *= shape[i];
  }
  char *data = (char *)tensor->data + tensor->byte_offset;
  PyObject *array = PyArray_NewFromDescr(&PyArray_Type, description, tensor->ndim, shape, strides,
                                         data, writable ? NPY_ARRAY_WRITEABLE : 0, NULL);
  if (array == NULL) {
    Py_DECREF(owner);
    return NULL;
  }
  // Contiguous and aligned are NumPy's to find out.
  PyArray_UpdateFlags((PyArrayObject *)array, NPY_ARRAY_UPDATE_ALL);
  if (PyArray_SetBaseObject((PyArrayObject *)array, owner) != 0) Py_CLEAR(array);
  return array;
}

/// The capsule that `value` shows itself by: versioned where it knows how.
static PyObject *capsule_of(PyObject *value) {
  PyObject *method = PyObject_GetAttrString(value, "__dlpack__");
  if (method == NULL) return NULL;
  PyObject *none = PyTuple_New(0);
  PyObject *newest = Py_BuildValue("{s:(ii)}", "max_version", 1, 0);
  PyObject *capsule = NULL;
  if (none != NULL && newest != NULL) {
    capsule = PyObject_Call(method, none, newest);
    if (capsule == NULL && PyErr_ExceptionMatches(PyExc_TypeError)) {
      PyErr_Clear();
      capsule = PyObject_Call(method, none, NULL);
    }
  }
  Py_XDECREF(none);
  Py_XDECREF(newest);
  Py_DECREF(method);
  return capsule;
}

PyObject *array_from_dlpack(PyObject *value) {
  PyObject *capsule = capsule_of(value);
  if (capsule == NULL) return NULL;
  PyObject *array = NULL;
  if (PyCapsule_IsValid(capsule, versioned_name)) {
    dl_versioned *managed = PyCapsule_GetPointer(capsule, versioned_name);
    if (managed->major != 1) {
      PyErr_Format(PyExc_BufferError, "DLPack version %u is not understood: expected 1",
                   (unsigned)managed->major);
    } else if (PyCapsule_SetName(capsule, used_versioned_name) == 0) {
      PyObject *owner = PyCapsule_New(managed, kept_name, free_kept_versioned);
      if (owner == NULL && managed->deleter != NULL) managed->deleter(managed);
      if (owner != NULL) {
        bool writable = (managed->flags & DL_READ_ONLY) == 0;
        array = array_over_tensor(&managed->tensor, writable, owner);
      }
    }
  } else if (PyCapsule_IsValid(capsule, plain_name)) {
    dl_managed *managed = PyCapsule_GetPointer(capsule, plain_name);
    if (PyCapsule_SetName(capsule, used_plain_name) == 0) {
      PyObject *owner = PyCapsule_New(managed, kept_name, free_kept);
      if (owner == NULL && managed->deleter != NULL) managed->deleter(managed);
      if (owner != NULL) array = array_over_tensor(&managed->tensor, false, owner);
    }
  } else {
    PyErr_SetString(PyExc_BufferError, "__dlpack__ gave no unused DLPack capsule");
  }
  Py_DECREF(capsule);
  return array;
}

// MARK: Out

/// What an exported tensor needs until its reader is done.
typedef struct shown {
  union {
    dl_managed plain;
    dl_versioned versioned;
  } managed;
  PyObject *array;
  int64_t sizes[];
} shown;

static void free_shown(shown *told) {
  // A reader may be done on any thread, and after the interpreter.
  if (Py_IsInitialized()) {
    PyGILState_STATE state = PyGILState_Ensure();
    Py_XDECREF(told->array);
    PyGILState_Release(state);
  }
  free(told);
}

static void delete_plain(dl_managed *managed) { free_shown(managed->context); }
static void delete_versioned(dl_versioned *managed) { free_shown(managed->context); }

/// Of a capsule that nobody has read.
static void free_capsule(PyObject *capsule) {
  if (PyCapsule_IsValid(capsule, versioned_name)) {
    delete_versioned(PyCapsule_GetPointer(capsule, versioned_name));
  } else if (PyCapsule_IsValid(capsule, plain_name)) {
    delete_plain(PyCapsule_GetPointer(capsule, plain_name));
  }
}

static bool dl_type_of(PyArrayObject *array, dl_type *type) {
  type->lanes = 1;
  type->bits = (uint8_t)(8 * PyArray_ITEMSIZE(array));
  PyArray_Descr *bfloat16 = PyArray_TYPE(array) >= NPY_USERDEF ? type_description(BFLOAT16) : NULL;
  bool is_bfloat16 = bfloat16 != NULL && PyArray_TYPE(array) == bfloat16->type_num;
  Py_XDECREF((PyObject *)bfloat16);
  if (PyErr_Occurred()) return false;
  if (!PyArray_ISNOTSWAPPED(array)) {
    PyErr_SetString(PyExc_BufferError, "DLPack has no byte order but the machine's: pass a copy");
    return false;
  }
  if (is_bfloat16) {
    type->code = DL_BFLOAT;
  } else if (PyArray_ISBOOL(array)) {
    type->code = DL_BOOL;
  } else if (PyArray_ISSIGNED(array)) {
    type->code = DL_INTEGER;
  } else if (PyArray_ISUNSIGNED(array)) {
    type->code = DL_UNSIGNED;
  } else if (PyArray_ISFLOAT(array) && PyArray_ITEMSIZE(array) <= 8) {
    type->code = DL_FLOAT;
  } else {
    PyErr_Format(PyExc_BufferError, "DLPack has no type for elements of %S",
                 (PyObject *)PyArray_DESCR(array));
    return false;
  }
  return true;
}

static bool describe(PyArrayObject *array, shown *told, dl_tensor *tensor) {
  int ndim = PyArray_NDIM(array);
  npy_intp size = PyArray_ITEMSIZE(array);
  *tensor = (dl_tensor){.data = PyArray_DATA(array), .device = {DL_CPU, 0}, .ndim = ndim};
  tensor->shape = told->sizes;
  tensor->strides = told->sizes + ndim;
  for (int i = 0; i < ndim; i++) {
    if (PyArray_STRIDE(array, i) % size != 0) {
      PyErr_SetString(PyExc_BufferError, "DLPack counts strides in whole elements: pass a copy");
      return false;
    }
    tensor->shape[i] = PyArray_DIM(array, i);
    tensor->strides[i] = PyArray_STRIDE(array, i) / size;
  }
  return dl_type_of(array, &tensor->type);
}

/// `dlpack_capsule(array, versioned)`: an array's memory as a capsule that keeps the array alive.
FUNCTION(dlpack_capsule) {
  TAKES(dlpack_capsule, 2, 2, "array", "versioned");
  bool versioned;
  if (!read_bool(values[1], "versioned", &versioned)) return NULL;
  if (!PyArray_Check(values[0])) {
    PyErr_SetString(PyExc_TypeError, "array is not a NumPy array");
    return NULL;
  }
  PyArrayObject *array = (PyArrayObject *)values[0];
  bool writable = PyArray_ISWRITEABLE(array);
  if (!versioned && !writable) {
    PyErr_SetString(
        PyExc_BufferError,
        "the array is read-only, which DLPack before version 1 cannot say: pass a copy");
    return NULL;
  }
  shown *told = calloc(1, sizeof(shown) + 2 * (size_t)PyArray_NDIM(array) * sizeof(int64_t));
  if (told == NULL) return PyErr_NoMemory();
  void *managed = &told->managed;
  dl_tensor *tensor = versioned ? &told->managed.versioned.tensor : &told->managed.plain.tensor;
  if (!describe(array, told, tensor)) {
    free(told);
    return NULL;
  }
  if (versioned) {
    dl_versioned *into = &told->managed.versioned;
    into->major = 1;
    into->context = told;
    into->deleter = delete_versioned;
    into->flags = writable ? 0 : DL_READ_ONLY;
  } else {
    told->managed.plain.context = told;
    told->managed.plain.deleter = delete_plain;
  }
  told->array = values[0];
  Py_INCREF(values[0]);
  PyObject *capsule = PyCapsule_New(managed, versioned ? versioned_name : plain_name, free_capsule);
  if (capsule == NULL) free_shown(told);
  return capsule;
}

/// `from_dlpack(value)`.
FUNCTION(from_dlpack) {
  TAKES(from_dlpack, 1, 1, "value");
  return array_from_dlpack(values[0]);
}
