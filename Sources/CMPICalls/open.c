// Finding the shim when a communicator over MPI is asked for.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "CMPICalls.h"

#if defined(__APPLE__)
static const char library[] = "libembedkernel-mpi.dylib";
#else
static const char library[] = "libembedkernel-mpi.so";
#endif

static const ek_mpi_functions *functions;
static char fault[EK_MPI_MESSAGE];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/// The library beside the program, or NULL.
static void *open_beside(void) {
  char path[PATH_MAX + sizeof library + 1];
  ssize_t length = readlink("/proc/self/exe", path, PATH_MAX - 1);
  if (length <= 0) return NULL;
  path[length] = 0;
  char *slash = strrchr(path, '/');
  if (slash == NULL) return NULL;
  memcpy(slash + 1, library, sizeof library);
  if (access(path, R_OK) != 0) return NULL;
  return dlopen(path, RTLD_NOW | RTLD_GLOBAL);
}

static void open_shim(void) {
  // Open MPI's components look for its symbols among the global ones.
  const char *path = getenv("EMBEDKERNEL_MPI");
  void *handle = NULL;
  if (path != NULL && path[0] != 0) {
    handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  } else {
    handle = open_beside();
    if (handle == NULL) handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
  }
  if (handle == NULL) {
    const char *reason = dlerror();
    snprintf(fault, sizeof fault, "%s", reason ? reason : library);
    return;
  }
  void *symbol = dlsym(handle, EK_MPI_SYMBOL);
  if (symbol == NULL) {
    snprintf(fault, sizeof fault, "the library has no %s", EK_MPI_SYMBOL);
    return;
  }
  ek_mpi_shim *shim;
  memcpy(&shim, &symbol, sizeof shim);
  const ek_mpi_functions *found = shim();
  if (found->version != EK_MPI_VERSION) {
    snprintf(fault, sizeof fault, "the library is of version %d, where %d is expected",
             found->version, EK_MPI_VERSION);
    return;
  }
  functions = found;
}

const ek_mpi_functions *ek_mpi_open(const char **reason) {
  pthread_once(&once, open_shim);
  *reason = functions == NULL ? fault : NULL;
  return functions;
}
