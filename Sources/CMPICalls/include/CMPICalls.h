// What EmbedKernel asks of MPI: bytes moved between ranks, nothing else. Sums are the library's
// own, in an order that does not depend on the ranks.
//
// MPI's types and constants differ between Open MPI and MPICH, so that only a C compiler with the
// headers of the installed one knows them. `scripts/mpi` compiles shim/mpi.c into
// libembedkernel-mpi.so, whose one exported function gives the record below; it is opened when a
// communicator over MPI is asked for, so that neither building nor running anything else needs MPI.
#ifndef EMBEDKERNEL_CMPICALLS_H
#define EMBEDKERNEL_CMPICALLS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/// How a call ended.
typedef enum {
  EK_MPI_DONE = 0,
  /// Ranks did nothing for too long; `late` names them.
  EK_MPI_LATE = 1,
  /// MPI refused; the message says what.
  EK_MPI_FAILED = 2,
} ek_mpi_result;

/// Room for a message.
#define EK_MPI_MESSAGE 512
/// Changes with the record.
#define EK_MPI_VERSION 1

/// The shim's functions.
typedef struct {
  int version;
  /// The library's own name and version.
  void (*name)(char *message);
  /// Starts MPI, where it does not run yet, and says which of how many ranks this process is.
  ek_mpi_result (*start)(int *rank, int *size, char *message);
  /// Begins to receive receive_bytes[r] from each other rank, which must send as many under the
  /// same tag, of 15 bits.
  ek_mpi_result (*receive)(int tag, void *const *receive, const size_t *receive_bytes,
                           char *message);
  /// Begins to send to another rank. Memory is not to be touched before `wait`.
  ek_mpi_result (*send)(int rank, const void *bytes, size_t count, char *message);
  /// Waits for all that was begun. Ends with EK_MPI_LATE where for so many seconds no message
  /// arrives or leaves: late[r] is then 1 for the ranks that are waited for. With EK_MPI_FAILED
  /// where a message has another size or tag than its receiver expects.
  ek_mpi_result (*wait)(double seconds, unsigned char *late, char *message);
  /// Ends MPI, when all ranks have got there.
  ek_mpi_result (*finish)(char *message);
  /// Ends the processes of all ranks.
  void (*abort)(int status);
} ek_mpi_functions;

/// The shim's one symbol.
typedef const ek_mpi_functions *ek_mpi_shim(void);
#define EK_MPI_SYMBOL "ek_mpi_functions_of_shim"

/// Opens the shim, once for the process: the file that EMBEDKERNEL_MPI names, else
/// libembedkernel-mpi.so beside the program or where the loader looks. NULL where that failed;
/// `reason` then says why.
const ek_mpi_functions *ek_mpi_open(const char **reason);

#ifdef __cplusplus
}
#endif

#endif
