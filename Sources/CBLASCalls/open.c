// Finding OpenBLAS and LAPACKE when a routine is needed.
//
// Debian has LAPACK's C interface in a library of its own; builds from OpenBLAS's sources bring it
// along.
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CBLASCalls.h"
#include "library.h"

static blas_library found;
static char fault[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Atomic(const blas_library *) library;

#if defined(__APPLE__)
static const char *const blas_names[] = {"libopenblas.0.dylib", "libopenblas.dylib",
                                         "/opt/homebrew/opt/openblas/lib/libopenblas.dylib",
                                         "/usr/local/opt/openblas/lib/libopenblas.dylib", NULL};
static const char *const lapack_names[] = {NULL};
#else
static const char *const blas_names[] = {"libopenblas.so.0", "libopenblas.so", NULL};
static const char *const lapack_names[] = {"liblapacke.so.3", "liblapacke.so", NULL};
#endif

/// The first of `names` that can be opened; else `fault` says why the first could not.
static void *open_first(const char *const *names) {
  for (const char *const *name = names; *name != NULL; name++) {
    void *handle = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
    if (handle != NULL) return handle;
    const char *reason = dlerror();
    if (name == names) snprintf(fault, sizeof fault, "%s", reason ? reason : *name);
  }
  return NULL;
}

/// Puts the address of `symbol` into `member`.
static bool find(void *handle, const char *symbol, void *member) {
  void *address = dlsym(handle, symbol);
  if (address == NULL) return false;
  memcpy(member, &address, sizeof address);
  return true;
}

static bool miss(const char *symbol) {
  snprintf(fault, sizeof fault, "the library has no %s", symbol);
  return false;
}

static bool find_blas(void *handle) {
#define FIND(member, symbol) \
  if (!find(handle, #symbol, &found.member)) return miss(#symbol);
  BLAS_ROUTINES(FIND)
#undef FIND
  if (strstr(found.configuration(), "USE64BITINT") != NULL) {
    snprintf(fault, sizeof fault, "the library counts in 64-bit integers, where 32 are expected");
    return false;
  }
  return true;
}

static bool find_lapack(void *handle) {
#define FIND(member, symbol) \
  if (!find(handle, #symbol, &found.member)) return miss(#symbol);
  LAPACK_ROUTINES(FIND)
#undef FIND
  return true;
}

static void open_libraries(void) {
  void *handle = open_first(blas_names);
  if (handle == NULL || !find_blas(handle)) return;
  if (!find_lapack(handle)) {
    handle = open_first(lapack_names);
    if (handle == NULL || !find_lapack(handle)) return;
  }
  fault[0] = 0;
  atomic_store_explicit(&library, &found, memory_order_release);
}

const char *ek_blas_open(void) {
  if (atomic_load_explicit(&library, memory_order_acquire) != NULL) return NULL;
  pthread_once(&once, open_libraries);
  return fault[0] ? fault : NULL;
}

const blas_library *blas(void) {
  const blas_library *open = atomic_load_explicit(&library, memory_order_acquire);
  if (open != NULL) return open;
  const char *reason = ek_blas_open();
  if (reason == NULL) return &found;
  fprintf(stderr, "OpenBLAS cannot be used: %s\n", reason);
  abort();
}
