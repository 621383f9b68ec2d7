// The library's errors as Python's exceptions, with all their facts.
//
// Which exception fits a code is said in Python, embedkernel/errors.py: a call that fails may take
// its time.
#include "core.h"

#include <string.h>

/// A fact that an error may lack.
static PyObject *fact_or_none(int64_t value) {
  if (value == EK_NONE) return Py_NewRef(Py_None);
  return PyLong_FromLongLong(value);
}

PyObject *raise_last_error(int32_t code) {
  const ek_error *error = ek_last_error();
  PyObject *module = PyImport_ImportModule("embedkernel.errors");
  if (module == NULL) return NULL;
  // Texts of files may hold anything.
  PyObject *exception = NULL;
  PyObject *message =
      PyUnicode_DecodeUTF8(error->message, (Py_ssize_t)strlen(error->message), "replace");
  PyObject *argument =
      PyUnicode_DecodeUTF8(error->argument, (Py_ssize_t)strlen(error->argument), "replace");
  PyObject *path = PyUnicode_DecodeFSDefault(error->path);
  if (message != NULL && argument != NULL && path != NULL) {
    exception = PyObject_CallMethod(module, "exception", "isOOOiNNNNd", code, error->kind, message,
                                    argument, path, error->system_code, fact_or_none(error->row),
                                    fact_or_none(error->position), fact_or_none(error->value),
                                    fact_or_none(error->bound), error->number);
  }
  if (exception != NULL) PyErr_SetObject((PyObject *)Py_TYPE(exception), exception);
  Py_XDECREF(exception);
  Py_XDECREF(message);
  Py_XDECREF(argument);
  Py_XDECREF(path);
  Py_DECREF(module);
  return NULL;
}
