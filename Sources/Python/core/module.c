// The module itself: its functions, the library's threads and buffers.
#define CORE_IMPORTS_NUMPY
#include "core.h"
#include "docs.h"

FUNCTION(pool_info) {
  TAKES(pool_info, 0, 0, NULL);
  ek_buffers_info info;
  int32_t code = ek_buffers_get_info(&info);
  if (code != EK_OK) return raise_last_error(code);
  return Py_BuildValue("KKKKK", (unsigned long long)info.bytes_held,
                       (unsigned long long)info.bytes_in_use, (unsigned long long)info.limit,
                       (unsigned long long)info.taken, (unsigned long long)info.reused);
}

FUNCTION(pool_set_limit) {
  TAKES(pool_set_limit, 1, 1, "bytes");
  uint64_t bytes = 0;
  if (!read_optional_uint64(values[0], "bytes", &bytes)) return NULL;
  int32_t code = ek_buffers_set_limit(bytes);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

FUNCTION(pool_clear) {
  TAKES(pool_clear, 0, 0, NULL);
  uint64_t released = 0;
  int32_t code = ek_buffers_empty(&released);
  return code == EK_OK ? PyLong_FromUnsignedLongLong(released) : raise_last_error(code);
}

FUNCTION(set_threads) {
  TAKES(set_threads, 1, 1, "threads");
  int32_t threads = 0;
  if (!read_optional_int32(values[0], "threads", &threads)) return NULL;
  int32_t code = ek_set_threads(threads);
  return code == EK_OK ? Py_NewRef(Py_None) : raise_last_error(code);
}

/// Returns (version, threads, cpus, a text about the machine).
FUNCTION(info) {
  TAKES(info, 0, 0, NULL);
  char text[8192];
  size_t length = 0;
  int32_t code = ek_describe(text, sizeof text, &length);
  if (code != EK_OK) return raise_last_error(code);
  return Py_BuildValue("siis#", ek_version(), (int)ek_threads(), (int)ek_cpu_count(), text,
                       (Py_ssize_t)length);
}

#define METHOD(name, doc) \
  {#name, (PyCFunction)(void (*)(void))core_##name, METH_FASTCALL | METH_KEYWORDS, doc},
#define PLAIN(name) METHOD(name, NULL)
#define WITH_DOC(name) METHOD(name, name##_doc)

#define QUICK(name) {#name, (PyCFunction)(void (*)(void))core_##name, METH_FASTCALL, NULL},

static PyMethodDef methods[] = {PUBLIC_FUNCTIONS(WITH_DOC) PRIVATE_FUNCTIONS(PLAIN)
                                    QUICK_FUNCTIONS(QUICK){NULL, NULL, 0, NULL}};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "embedkernel._core", .m_size = -1,
                                 .m_methods = methods};

PyMODINIT_FUNC PyInit__core(void) {
  import_array();
  if (ek_abi_version() < EK_ABI_VERSION) {
    PyErr_Format(PyExc_ImportError, "libembedkernel has interface %d: expected %d or later",
                 (int)ek_abi_version(), EK_ABI_VERSION);
    return NULL;
  }
  PyObject *module = PyModule_Create(&definition);
  if (module != NULL && PyModule_AddStringConstant(module, "__version__", ek_version()) != 0) {
    Py_CLEAR(module);
  }
  return module;
}
