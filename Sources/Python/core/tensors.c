// PyTorch's tensors, past its dispatcher: the embedding of a small batch as `embedkernel.torch`
// runs it where nothing but eager code looks on.
//
// An operator's call costs some 4 microseconds beside the kernel, more than the rows of a small
// batch. PyTorch shows a tensor's memory, and takes new ones, through a table of C functions
// (DLPack's exchange interface, one for all its releases), so none of its C++ is needed here. What
// this way does not serve, it leaves to the operator: the functions then return None, and have done
// nothing.
#include "core.h"
#include "dlpack.h"

#include <stdlib.h>

/// Results from here on are the operator's, which takes them from the library's buffers.
enum { LARGE_BYTES = 64 * 1024, MOST_RANKS = 8, WATCHERS = 5 };

/// What `tensors_setup` was told; nothing is served before.
static struct {
  const dl_exchange *exchange;
  PyObject *tensor, *parameter;
  /// Functions of PyTorch that tell whether anything wants to see operators: a transform, a mode, a
  /// profiler.
  PyObject *watchers[WATCHERS];
  PyObject *is_grad_enabled, *is_neg;
  /// The function of autograd over `tensors_forward`.
  PyObject *apply;
  /// How many weights have rows that an optimiser left behind, which the operator brings up to
  /// date.
  const int64_t *lazy_tables;
  PyObject *requires_grad, *to_save, *facts, *zero;
} torch;

/// Keeps what the functions below need; returns whether this PyTorch has the interface.
FUNCTION(tensors_setup) {
  TAKES(tensors_setup, 7, 0, "tensor", "parameter", "watchers", "is_grad_enabled", "is_neg",
        "apply", "lazy_tables");
  int64_t lazy_tables;
  if (!read_int64(values[6], "lazy_tables", &lazy_tables)) return NULL;
  if (!PyTuple_Check(values[2]) || PyTuple_Size(values[2]) != WATCHERS) {
    PyErr_Format(PyExc_TypeError, "watchers is %R: expected a tuple of %d functions", values[2],
                 WATCHERS);
    return NULL;
  }
  PyObject *capsule = PyObject_GetAttrString(values[0], "__dlpack_c_exchange_api__");
  if (capsule == NULL) {
    PyErr_Clear();
    return Py_NewRef(Py_False);
  }
  const dl_exchange *exchange = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
  Py_DECREF(capsule);
  if (exchange == NULL) return NULL;
  while (exchange != NULL && exchange->major != 1) exchange = exchange->previous;
  if (exchange == NULL || exchange->borrow == NULL || exchange->take == NULL)
    return Py_NewRef(Py_False);
  torch.requires_grad = PyUnicode_InternFromString("requires_grad");
  torch.to_save = PyUnicode_InternFromString("to_save");
  torch.facts = PyUnicode_InternFromString("facts");
  torch.zero = PyLong_FromLong(0);
  if (PyErr_Occurred()) return NULL;
  torch.tensor = Py_NewRef(values[0]);
  torch.parameter = Py_NewRef(values[1]);
  for (int i = 0; i < WATCHERS; i++) torch.watchers[i] = Py_NewRef(PyTuple_GetItem(values[2], i));
  torch.is_grad_enabled = Py_NewRef(values[3]);
  torch.is_neg = Py_NewRef(values[4]);
  torch.apply = Py_NewRef(values[5]);
  torch.lazy_tables = (const int64_t *)(intptr_t)lazy_tables;
  torch.exchange = exchange;
  return Py_NewRef(Py_True);
}

// MARK: Tensors

/// Whether a function of PyTorch tells something other than 0 or False; also where it fails.
static bool tells(PyObject *function, PyObject *argument) {
  PyObject *told = argument == NULL ? PyObject_CallNoArgs(function)
                                    : PyObject_CallFunctionObjArgs(function, argument, NULL);
  if (told == NULL) {
    PyErr_Clear();
    return true;
  }
  bool is = told != Py_False && (told == Py_True || PyObject_IsTrue(told) != 0);
  Py_DECREF(told);
  return is;
}

/// Looks at a dense, contiguous tensor on the CPU of PyTorch's own classes; false for any other.
static bool look(PyObject *value, dl_tensor *tensor) {
  PyObject *type = (PyObject *)Py_TYPE(value);
  if (type != torch.tensor && type != torch.parameter) return false;
  if (torch.exchange->borrow(value, tensor) != 0) {
    PyErr_Clear();
    return false;
  }
  if (tensor->device.kind != DL_CPU || tensor->ndim > MOST_RANKS || tensor->type.lanes != 1)
    return false;
  int64_t stride = 1;
  for (int i = tensor->ndim; i-- > 0;) {
    // Nothing is gained where there are no elements.
    if (tensor->shape[i] <= 0) return false;
    if (tensor->shape[i] != 1 && tensor->strides != NULL && tensor->strides[i] != stride)
      return false;
    stride *= tensor->shape[i];
  }
  tensor->data = (char *)tensor->data + tensor->byte_offset;
  return tensor->data != NULL;
}

/// The library's type of a table's elements, or -1.
static int32_t float_code(dl_type type) {
  if (type.code == DL_FLOAT && type.bits == 32) return EK_DTYPE_FLOAT32;
  if (type.code == DL_FLOAT && type.bits == 16) return EK_DTYPE_FLOAT16;
  return type.code == DL_BFLOAT && type.bits == 16 ? EK_DTYPE_BFLOAT16 : -1;
}

// MARK: New tensors

/// A result's memory and what PyTorch is told of it, in one block, whose elements follow at `data`.
typedef struct result {
  dl_versioned managed;
  int64_t sizes[2 * MOST_RANKS + 2];
  size_t capacity;
} result;

enum { ALIGNMENT = 64 };

/// The block that was given up last: a loop's next result of the same size takes it, warm.
static result *spare;

static void free_result(dl_versioned *managed) {
  free(__atomic_exchange_n(&spare, (result *)managed, __ATOMIC_ACQ_REL));
}

/// A block for a result of the sizes of `ids` and `dim`.
static result *new_result(const dl_tensor *ids, int64_t dim, dl_type type, size_t bytes) {
  result *made = __atomic_exchange_n(&spare, NULL, __ATOMIC_ACQ_REL);
  if (made == NULL || made->capacity < bytes) {
    free(made);
    made = malloc(sizeof(result) + ALIGNMENT + bytes);
    if (made == NULL) return NULL;
    made->capacity = bytes;
  }
  uintptr_t data = ((uintptr_t)(made + 1) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  int ndim = ids->ndim + 1;
  made->managed = (dl_versioned){.major = 1, .deleter = free_result};
  made->managed.tensor =
      (dl_tensor){.data = (void *)data, .device = {DL_CPU, 0}, .ndim = ndim, .type = type};
  made->managed.tensor.shape = made->sizes;
  made->managed.tensor.strides = made->sizes + ndim;
  int64_t stride = 1;
  for (int i = ndim; i-- > 0;) {
    made->sizes[i] = i == ndim - 1 ? dim : ids->shape[i];
    made->sizes[ndim + i] = stride;
    stride *= made->sizes[i];
  }
  return made;
}

/// The rows of `ids`, with those of `positions` where there are some: a new tensor. NULL without an
/// error for what the operator serves.
static PyObject *embed_rows(PyObject *ids_given, PyObject *tokens_given,
                            PyObject *positions_given) {
  if (torch.exchange == NULL || __atomic_load_n(torch.lazy_tables, __ATOMIC_RELAXED) != 0)
    return NULL;
  dl_tensor ids, tokens, positions = {0};
  if (!look(ids_given, &ids) || !look(tokens_given, &tokens) || tokens.ndim != 2) return NULL;
  if (ids.type.code != DL_INTEGER || (ids.type.bits != 64 && ids.type.bits != 32)) return NULL;
  int32_t dtype = float_code(tokens.type);
  if (dtype < 0 || ids.ndim >= MOST_RANKS || tells(torch.is_neg, tokens_given)) return NULL;
  int64_t dim = tokens.shape[1];
  if (positions_given != Py_None) {
    if (!look(positions_given, &positions) || positions.ndim != 2 || positions.shape[1] != dim)
      return NULL;
    if (float_code(positions.type) != dtype || tells(torch.is_neg, positions_given)) return NULL;
  }
  int64_t context = ids.ndim > 0 ? ids.shape[ids.ndim - 1] : 1, bytes = tokens.type.bits / 8 * dim,
          batch = 1;
  for (int i = 0; i < ids.ndim; i++) {
    if (bytes >= LARGE_BYTES) return NULL;
    bytes *= ids.shape[i];
    if (i < ids.ndim - 1) batch *= ids.shape[i];
  }
  if (bytes >= LARGE_BYTES) return NULL;
  result *made = new_result(&ids, dim, tokens.type, (size_t)bytes);
  if (made == NULL) return NULL;
  ek_embed_options options = EK_EMBED_OPTIONS_INIT;
  options.threads = 1;
  int32_t code =
      ek_embed(ids.data, ids.type.bits == 64 ? EK_DTYPE_INT64 : EK_DTYPE_INT32, batch, context,
               tokens.data, dtype, tokens.shape[0], dim, positions.data,
               positions.data ? positions.shape[0] : 0, made->managed.tensor.data, dtype, &options);
  if (code != EK_OK) {
    // The operator tells the error in its own way.
    free_result(&made->managed);
    return NULL;
  }
  void *tensor = NULL;
  if (torch.exchange->take(&made->managed, &tensor) != 0) {
    PyErr_Clear();
    return NULL;
  }
  return tensor;
}

static bool is_watched(void) {
  for (int i = 0; i < WATCHERS; i++) {
    if (tells(torch.watchers[i], NULL)) return true;
  }
  return false;
}

static bool requires_grad(PyObject *tensor) {
  if (tensor == Py_None) return false;
  PyObject *told = PyObject_GetAttr(tensor, torch.requires_grad);
  if (told == NULL) PyErr_Clear();
  bool is = told == Py_True;
  Py_XDECREF(told);
  return is;
}

/// `tensors_embed(ids, tokens, positions, places, offset, scale, padding_idx, by_frequency,
/// sparse)`: token rows, and position rows where they are no None, differentiable where a table is.
/// None for what the operator serves.
PyObject *core_tensors_embed(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
  (void)self;
  if (count != 9) {
    PyErr_SetString(PyExc_TypeError, "tensors_embed() takes 9 arguments");
    return NULL;
  }
  PyObject *ids = arguments[0], *tokens = arguments[1], *positions = arguments[2];
  // Small integers are one object each.
  if (torch.exchange == NULL || arguments[3] != Py_None || arguments[4] != torch.zero ||
      !PyFloat_CheckExact(arguments[5]) || PyFloat_AsDouble(arguments[5]) != 1 || is_watched())
    return Py_NewRef(Py_None);
  PyObject *rows = embed_rows(ids, tokens, positions);
  if (rows == NULL) return Py_NewRef(Py_None);
  if ((!requires_grad(tokens) && !requires_grad(positions)) || !tells(torch.is_grad_enabled, NULL))
    return rows;
  PyObject *facts =
      PyTuple_Pack(6, ids, tokens, positions, arguments[6], arguments[7], arguments[8]);
  PyObject *call = facts == NULL ? NULL : PyTuple_Pack(2, rows, facts);
  PyObject *result = call == NULL
                         ? NULL
                         : PyObject_CallFunctionObjArgs(torch.apply, tokens, positions, call, NULL);
  Py_XDECREF(call);
  Py_XDECREF(facts);
  Py_DECREF(rows);
  return result;
}

static bool set(PyObject *object, PyObject *name, PyObject *value) {
  return value != NULL && PyObject_SetAttr(object, name, value) == 0;
}

/// `tensors_forward(ctx, tokens, positions, call)`: the forward of the function of autograd, whose
/// rows are there.
PyObject *core_tensors_forward(PyObject *self, PyObject *const *arguments, Py_ssize_t count) {
  (void)self;
  PyObject *ctx = arguments[0], *call = count == 4 ? arguments[3] : NULL;
  if (call == NULL || !PyTuple_Check(call) || PyTuple_Size(call) != 2) {
    PyErr_SetString(PyExc_TypeError, "tensors_forward() takes a context, two tables and a call");
    return NULL;
  }
  PyObject *facts = PyTuple_GetItem(call, 1);
  // What `ctx.save_for_backward(ids)` does.
  PyObject *saved = PyTuple_Pack(1, PyTuple_GetItem(facts, 0));
  bool done = set(ctx, torch.to_save, saved) && set(ctx, torch.facts, facts);
  Py_XDECREF(saved);
  return done ? Py_NewRef(PyTuple_GetItem(call, 0)) : NULL;
}
