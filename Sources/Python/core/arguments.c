// Arguments of a call: by place or by name, numbers, words and paths.
#include "core.h"

static bool make_names(signature *takes) {
  int count = 0;
  while (count < MOST_ARGUMENTS && takes->names[count] != NULL) count++;
  for (int i = 0; i < count; i++) {
    takes->interned[i] = PyUnicode_InternFromString(takes->names[i]);
    if (takes->interned[i] == NULL) return false;
  }
  takes->count = count;
  return true;
}

static int place_of(const signature *takes, PyObject *name) {
  // Names in a call's source are interned, so nearly always they are the same object.
  for (int i = 0; i < takes->count; i++) {
    if (takes->interned[i] == name) return i;
  }
  for (int i = 0; i < takes->count; i++) {
    if (PyUnicode_Compare(takes->interned[i], name) == 0) return i;
    if (PyErr_Occurred()) return -1;
  }
  return -1;
}

bool read_arguments(signature *takes, PyObject *const *arguments, Py_ssize_t count, PyObject *names,
                    PyObject **values) {
  if (takes->count == 0 && !make_names(takes)) return false;
  if (count > takes->positional) {
    PyErr_Format(PyExc_TypeError, "%s() takes at most %d arguments without names, not %zd",
                 takes->function, takes->positional, count);
    return false;
  }
  for (int i = 0; i < takes->count; i++) {
    values[i] = i < count && arguments[i] != Py_None ? arguments[i] : NULL;
  }
  Py_ssize_t named = names == NULL ? 0 : PyTuple_Size(names);
  for (Py_ssize_t i = 0; i < named; i++) {
    PyObject *name = PyTuple_GetItem(names, i);
    int place = place_of(takes, name);
    if (place < 0) {
      if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_TypeError, "%s() has no argument '%U'", takes->function, name);
      }
      return false;
    }
    if (place < count) {
      PyErr_Format(PyExc_TypeError, "%s() got argument '%U' twice", takes->function, name);
      return false;
    }
    PyObject *value = arguments[count + i];
    values[place] = value == Py_None ? NULL : value;
  }
  for (int i = 0; i < takes->required; i++) {
    if (values[i] == NULL) {
      PyErr_Format(PyExc_TypeError, "%s() needs its argument '%s'", takes->function,
                   takes->names[i]);
      return false;
    }
  }
  return true;
}

/// Whether a failed conversion was one of type: then says which argument it was.
static void name_the_argument(PyObject *value, const char *name, const char *expected) {
  if (PyErr_ExceptionMatches(PyExc_TypeError)) {
    PyErr_Clear();
    PyErr_Format(PyExc_TypeError, "%s is %R: expected %s", name, value, expected);
  } else if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyErr_Clear();
    PyErr_Format(PyExc_ValueError, "%s is %R: expected a number of 64 bits", name, value);
  }
}

bool read_int64(PyObject *value, const char *name, int64_t *result) {
  // True is an int to Python, and never meant as one.
  PyObject *index = PyBool_Check(value) ? NULL : PyNumber_Index(value);
  if (index == NULL) {
    if (!PyErr_Occurred()) PyErr_SetNone(PyExc_TypeError);
    name_the_argument(value, name, "an integer");
    return false;
  }
  *result = PyLong_AsLongLong(index);
  Py_DECREF(index);
  if (*result == -1 && PyErr_Occurred()) {
    name_the_argument(value, name, "an integer");
    return false;
  }
  return true;
}

bool read_double(PyObject *value, const char *name, double *result) {
  if (PyBool_Check(value)) PyErr_SetNone(PyExc_TypeError);
  *result = PyErr_Occurred() ? -1 : PyFloat_AsDouble(value);
  if (*result == -1 && PyErr_Occurred()) {
    name_the_argument(value, name, "a number");
    return false;
  }
  return true;
}

bool read_bool(PyObject *value, const char *name, bool *result) {
  if (!PyBool_Check(value)) {
    PyErr_Format(PyExc_TypeError, "%s is %R: expected True or False", name, value);
    return false;
  }
  *result = value == Py_True;
  return true;
}

bool read_word(PyObject *value, const char *name, const char *const *words, int *result) {
  if (!PyUnicode_Check(value)) {
    PyErr_Format(PyExc_TypeError, "%s is %R: expected a string", name, value);
    return false;
  }
  for (int i = 0; words[i] != NULL; i++) {
    if (PyUnicode_CompareWithASCIIString(value, words[i]) == 0) {
      *result = i;
      return true;
    }
  }
  PyObject *expected = PyUnicode_FromString(words[0]);
  for (int i = 1; expected != NULL && words[i] != NULL; i++) {
    const char *between = words[i + 1] == NULL ? " or " : ", ";
    PyObject *longer = PyUnicode_FromFormat("%U%s%s", expected, between, words[i]);
    Py_DECREF(expected);
    expected = longer;
  }
  if (expected != NULL) {
    PyErr_Format(PyExc_ValueError, "%s is %R: expected %U", name, value, expected);
    Py_DECREF(expected);
  }
  return false;
}

PyObject *read_path(PyObject *value, const char *name, const char **text) {
  PyObject *path;
  if (PyUnicode_FSConverter(value, &path)) {
    *text = PyBytes_AsString(path);
    return path;
  }
  name_the_argument(value, name, "a path");
  return NULL;
}

// MARK: What may be missing

const char *const unknown_words[] = {"error", "clamp", "zero", NULL};
const char *const overflow_words[] = {"error", "clamp", NULL};
const char *const backend_words[] = {"auto", "native", "simd", "openblas", NULL};
const char *const norm_words[] = {"none", "layer", "rms", NULL};

bool read_choice(PyObject *value, const char *name, const char *const *words, int32_t *result) {
  if (value == NULL) return true;
  int found;
  if (!read_word(value, name, words, &found)) return false;
  *result = found;
  return true;
}

bool read_optional_int64(PyObject *value, const char *name, int64_t *result) {
  return value == NULL || read_int64(value, name, result);
}

static bool outside(PyObject *value, const char *name, const char *expected) {
  PyErr_Format(PyExc_ValueError, "%s is %R: expected %s", name, value, expected);
  return false;
}

bool read_optional_int32(PyObject *value, const char *name, int32_t *result) {
  int64_t wide = *result;
  if (!read_optional_int64(value, name, &wide)) return false;
  *result = (int32_t)wide;
  return wide == *result || outside(value, name, "a number of 32 bits");
}

bool read_optional_uint64(PyObject *value, const char *name, uint64_t *result) {
  int64_t wide = 0;
  if (value == NULL) return true;
  if (!read_int64(value, name, &wide)) return false;
  *result = (uint64_t)wide;
  return wide >= 0 || outside(value, name, "0 or more");
}

bool read_optional_double(PyObject *value, const char *name, double *result) {
  return value == NULL || read_double(value, name, result);
}

bool read_optional_float(PyObject *value, const char *name, float *result) {
  double wide = *result;
  if (!read_optional_double(value, name, &wide)) return false;
  *result = (float)wide;
  return true;
}

bool read_optional_bool(PyObject *value, const char *name, int32_t *result) {
  bool found = *result != 0;
  if (value != NULL && !read_bool(value, name, &found)) return false;
  *result = found;
  return true;
}

// MARK: Where tokens stand

/// Whether numbers are one for each token: of the ids' own shape, or (B, T) of all their sequences.
static bool for_each_token(const view *numbers, const char *name, npy_intp batch,
                           npy_intp context) {
  if (numbers->ndim > 2 && numbers->shape[numbers->ndim - 1] == context &&
      numbers->count == batch * context)
    return true;
  const npy_intp shape[] = {batch, context};
  return has_shape(numbers, name, 2, shape);
}

bool read_place(PyObject **values, npy_intp batch, npy_intp context, place *result) {
  static const char *const names[] = {PLACE_ARGUMENTS};
  result->numbers.made = NULL;
  result->given = false;
  int said = -1;
  for (int i = 0; i < PLACE_COUNT; i++) {
    if (values[i] == NULL) continue;
    if (said >= 0) {
      PyErr_Format(PyExc_ValueError, "%s and %s are both given: expected one of them", names[said],
                   names[i]);
      return false;
    }
    said = i;
  }
  if (said < 0) return true;
  result->given = true;
  result->positions = (ek_positions)EK_POSITIONS_INIT;
  PyObject *value = values[said];
  if (said == 0 && PyIndex_Check(value) && !PyArray_Check(value)) {
    return read_int64(value, names[0], &result->positions.offset);
  }
  view *numbers = &result->numbers;
  bool read =
      said == 3 ? read_mask(value, names[3], numbers) : read_ids(value, names[said], numbers);
  if (!read) return false;
  const npy_intp rows[] = {batch}, row[] = {context}, any[] = {-1};
  bool fits = false;
  switch (said) {
    case 0:
      result->positions.kind = EK_POSITIONS_OFFSETS;
      fits = has_shape(numbers, names[0], 1, rows);
      break;
    case 1:
      result->positions.kind = EK_POSITIONS_EXPLICIT;
      fits = numbers->ndim == 1 ? has_shape(numbers, names[1], 1, row)
                                : for_each_token(numbers, names[1], batch, context);
      break;
    case 2:
      result->positions.kind = EK_POSITIONS_PACKED;
      fits = has_shape(numbers, names[2], 1, any);
      break;
    default:
      result->positions.kind = EK_POSITIONS_MASK;
      fits = numbers->ndim == 1 && batch == 1 ? has_shape(numbers, names[3], 1, row)
                                              : for_each_token(numbers, names[3], batch, context);
      break;
  }
  if (!fits) {
    release(numbers);
    return false;
  }
  result->positions.dtype = said == 3 ? EK_DTYPE_BOOL : element_code(numbers->type);
  result->positions.data = numbers->data;
  result->positions.count = numbers->count;
  return true;
}

// MARK: Handles

PyObject *handle_capsule(void *handle, const char *kind, PyCapsule_Destructor destroy) {
  PyObject *capsule = PyCapsule_New(handle, kind, NULL);
  if (capsule != NULL) PyCapsule_SetDestructor(capsule, destroy);
  return capsule;
}

void *read_handle(PyObject *value, const char *kind) {
  if (PyCapsule_IsValid(value, kind)) return PyCapsule_GetPointer(value, kind);
  PyErr_Format(PyExc_TypeError, "%R is no %s", value, kind);
  return NULL;
}
