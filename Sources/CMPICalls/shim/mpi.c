// MPI behind CMPICalls.h: compiled by scripts/mpi with the installed MPI's own compiler wrapper,
// against Open MPI or MPICH.
//
// One exchange is nonblocking messages between each pair of ranks, all begun at once, rather than
// MPI_Alltoallv: counts are not bounded by an int, and a rank that hangs is known by what has not
// come.
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CMPICalls.h"

/// Longer messages go in pieces, so that a slow transfer is seen to go on.
static const size_t piece = (size_t)64 << 20;
/// How often to ask before sleeping between: ranks may be more than cores.
static const int patience = 2000;

static MPI_Comm ranks = MPI_COMM_NULL;
static int own_rank, rank_count;
static MPI_Request *requests;
static MPI_Status *statuses;
static int *peers, *done;
/// The bytes that each message must have, where it is received.
static int *lengths;
/// How many messages have been begun, and how many of the first of them are to be received.
static int begun, receives, expected_tag;
static int room;

static ek_mpi_result fail(int code, const char *operation, char *message) {
  char text[MPI_MAX_ERROR_STRING + 1];
  int length = 0;
  if (MPI_Error_string(code, text, &length) != MPI_SUCCESS) length = 0;
  snprintf(message, EK_MPI_MESSAGE, "%s: %.*s", operation, length, text);
  return EK_MPI_FAILED;
}

static void name(char *message) {
  char text[MPI_MAX_LIBRARY_VERSION_STRING + 1];
  int length = 0;
  MPI_Get_library_version(text, &length);
  text[length] = 0;
  text[strcspn(text, "\n")] = 0;
  snprintf(message, EK_MPI_MESSAGE, "%.*s", EK_MPI_MESSAGE - 1, text);
}

static ek_mpi_result start(int *rank, int *size, char *message) {
  int runs = 0, ended = 0, code;
  MPI_Initialized(&runs);
  MPI_Finalized(&ended);
  if (ended) {
    snprintf(message, EK_MPI_MESSAGE, "MPI has ended and cannot start again");
    return EK_MPI_FAILED;
  }
  if (!runs) {
    int level;
    code = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Init_thread", message);
    if (level < MPI_THREAD_FUNNELED) {
      snprintf(message, EK_MPI_MESSAGE, "this MPI does not run in programs with threads");
      return EK_MPI_FAILED;
    }
  }
  if (ranks == MPI_COMM_NULL) {
    code = MPI_Comm_dup(MPI_COMM_WORLD, &ranks);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Comm_dup", message);
    MPI_Comm_set_errhandler(ranks, MPI_ERRORS_RETURN);
    MPI_Comm_rank(ranks, &own_rank);
    MPI_Comm_size(ranks, &rank_count);
  }
  *rank = own_rank;
  *size = rank_count;
  return EK_MPI_DONE;
}

static int pieces_of(size_t bytes) { return (int)((bytes + piece - 1) / piece); }

/// Makes room for so many messages.
static int reserve(int count) {
  if (count <= room) return 1;
  MPI_Request *more_requests = realloc(requests, (size_t)count * sizeof *requests);
  if (more_requests != NULL) requests = more_requests;
  int *more_peers = realloc(peers, (size_t)count * sizeof *peers);
  if (more_peers != NULL) peers = more_peers;
  int *more_done = realloc(done, (size_t)count * sizeof *done);
  if (more_done != NULL) done = more_done;
  int *more_lengths = realloc(lengths, (size_t)count * sizeof *lengths);
  if (more_lengths != NULL) lengths = more_lengths;
  MPI_Status *more_statuses = realloc(statuses, (size_t)count * sizeof *statuses);
  if (more_statuses != NULL) statuses = more_statuses;
  if (!more_requests || !more_peers || !more_done || !more_lengths || !more_statuses) return 0;
  room = count;
  return 1;
}

static void rest(int idle) {
  if (idle < patience) {
    sched_yield();
  } else {
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
  }
}

/// Ends what can be ended of messages that will not come.
static void cancel(void) {
  for (int i = 0; i < receives; i++) {
    if (requests[i] == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&requests[i]);
    MPI_Request_free(&requests[i]);
  }
}

/// Makes room for a rank's messages.
static ek_mpi_result prepare(size_t bytes, char *message) {
  if (reserve(begun + pieces_of(bytes))) return EK_MPI_DONE;
  snprintf(message, EK_MPI_MESSAGE, "no memory for %d messages", begun + pieces_of(bytes));
  return EK_MPI_FAILED;
}

static int length_at(size_t bytes, size_t at) {
  return (int)(bytes - at < piece ? bytes - at : piece);
}

static ek_mpi_result receive_all(int tag, void *const *receive, const size_t *receive_bytes,
                                 char *message) {
  begun = receives = 0;
  expected_tag = tag;
  for (int step = 1; step < rank_count; step++) {
    int peer = (own_rank + rank_count - step) % rank_count;
    if (prepare(receive_bytes[peer], message) != EK_MPI_DONE) return EK_MPI_FAILED;
    for (size_t at = 0; at < receive_bytes[peer]; at += piece) {
      lengths[begun] = length_at(receive_bytes[peer], at);
      int code = MPI_Irecv((char *)receive[peer] + at, lengths[begun], MPI_BYTE, peer, MPI_ANY_TAG,
                           ranks, &requests[begun]);
      if (code != MPI_SUCCESS) return fail(code, "MPI_Irecv", message);
      peers[begun++] = peer;
    }
  }
  receives = begun;
  return EK_MPI_DONE;
}

static ek_mpi_result send_to(int rank, const void *bytes, size_t count, char *message) {
  if (prepare(count, message) != EK_MPI_DONE) return EK_MPI_FAILED;
  for (size_t at = 0; at < count; at += piece) {
    int code = MPI_Isend((const char *)bytes + at, length_at(count, at), MPI_BYTE, rank,
                         expected_tag, ranks, &requests[begun]);
    if (code != MPI_SUCCESS) return fail(code, "MPI_Isend", message);
    peers[begun++] = rank;
  }
  return EK_MPI_DONE;
}

/// Checks that a message is the one that was expected: MPI takes a shorter one without a word.
static ek_mpi_result check(int request, const MPI_Status *status, char *message) {
  if (request >= receives) return EK_MPI_DONE;
  int length = 0;
  MPI_Get_count(status, MPI_BYTE, &length);
  if (status->MPI_TAG != expected_tag) {
    snprintf(message, EK_MPI_MESSAGE, "rank %d makes another call than rank %d", peers[request],
             own_rank);
    return EK_MPI_FAILED;
  }
  if (length != lengths[request]) {
    snprintf(message, EK_MPI_MESSAGE,
             "rank %d sent rank %d a message of %d bytes, where %d are expected", peers[request],
             own_rank, length, lengths[request]);
    return EK_MPI_FAILED;
  }
  return EK_MPI_DONE;
}

/// What went wrong where a message was too long for its receiver, which is found out in waiting.
static ek_mpi_result fail_in_status(int code, int ended, char *message) {
  for (int i = 0; code == MPI_ERR_IN_STATUS && ended != MPI_UNDEFINED && i < ended; i++) {
    if (statuses[i].MPI_ERROR == MPI_SUCCESS) continue;
    if (done[i] < receives && statuses[i].MPI_TAG != expected_tag) {
      return check(done[i], &statuses[i], message);
    }
    return fail(statuses[i].MPI_ERROR, "message", message);
  }
  return fail(code, "MPI_Testsome", message);
}

static ek_mpi_result wait_for_all(double seconds, unsigned char *late, char *message) {
  for (int r = 0; r < rank_count; r++) late[r] = 0;
  if (begun == 0) return EK_MPI_DONE;
  double last = MPI_Wtime();
  int idle = 0;
  for (;;) {
    int ended = 0;
    int code = MPI_Testsome(begun, requests, &ended, done, statuses);
    if (code != MPI_SUCCESS) return fail_in_status(code, ended, message);
    if (ended == MPI_UNDEFINED) return EK_MPI_DONE;
    if (ended > 0) {
      for (int i = 0; i < ended; i++) {
        if (check(done[i], &statuses[i], message) != EK_MPI_DONE) return EK_MPI_FAILED;
      }
      idle = 0;
      last = MPI_Wtime();
      continue;
    }
    rest(++idle);
    if (MPI_Wtime() - last <= seconds) continue;
    for (int i = 0; i < begun; i++) {
      if (requests[i] != MPI_REQUEST_NULL) late[peers[i]] = 1;
    }
    cancel();
    snprintf(message, EK_MPI_MESSAGE, "no message for %g seconds", seconds);
    return EK_MPI_LATE;
  }
}

static ek_mpi_result finish(char *message) {
  int ended = 0;
  MPI_Finalized(&ended);
  if (ended) return EK_MPI_DONE;
  if (ranks != MPI_COMM_NULL) MPI_Comm_free(&ranks);
  int code = MPI_Finalize();
  return code == MPI_SUCCESS ? EK_MPI_DONE : fail(code, "MPI_Finalize", message);
}

static void end_all(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static const ek_mpi_functions functions = {
    .version = EK_MPI_VERSION,
    .name = name,
    .start = start,
    .receive = receive_all,
    .send = send_to,
    .wait = wait_for_all,
    .finish = finish,
    .abort = end_all,
};

__attribute__((visibility("default"))) const ek_mpi_functions *ek_mpi_functions_of_shim(void) {
  return &functions;
}
