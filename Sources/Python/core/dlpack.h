// DLPack's structures, as its version 1.0 lays them out.
#ifndef EMBEDKERNEL_CORE_DLPACK_H
#define EMBEDKERNEL_CORE_DLPACK_H

#include <stdint.h>

typedef struct dl_device {
  int32_t kind, id;
} dl_device;

typedef struct dl_type {
  uint8_t code, bits;
  uint16_t lanes;
} dl_type;

typedef struct dl_tensor {
  void *data;
  dl_device device;
  int32_t ndim;
  dl_type type;
  int64_t *shape;
  int64_t *strides;
  uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
  dl_tensor tensor;
  void *context;
  void (*deleter)(struct dl_managed *);
} dl_managed;

typedef struct dl_versioned {
  uint32_t major, minor;
  void *context;
  void (*deleter)(struct dl_versioned *);
  uint64_t flags;
  dl_tensor tensor;
} dl_versioned;

enum { DL_CPU = 1, DL_INTEGER = 0, DL_UNSIGNED = 1, DL_FLOAT = 2, DL_BFLOAT = 4, DL_BOOL = 6 };
enum { DL_READ_ONLY = 1, DL_COPIED = 2 };

/// The table of functions that a library shows as `__dlpack_c_exchange_api__`, since DLPack 1.2.
typedef struct dl_exchange {
  uint32_t major, minor;
  /// The table of an older interface, or NULL.
  struct dl_exchange *previous;
  int (*allocate)(dl_tensor *, dl_versioned **, void *,
                  void (*)(void *, const char *, const char *));
  int (*export)(void *object, dl_versioned **);
  /// Makes a tensor of the library's own of memory that it then owns, also where it fails.
  int (*take)(dl_versioned *, void **object);
  /// Tells what a tensor is, as long as the tensor stays as it is; may be missing.
  int (*borrow)(void *object, dl_tensor *);
  int (*stream)(int32_t kind, int32_t id, void **);
} dl_exchange;

#endif
