// Requests are special instruction sequences that valgrind sees and processors ignore, so a build
// with them runs anywhere.

#include "CCallgrind.h"

#include <stdlib.h>

#if defined(__has_include)
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define HAS_CALLGRIND 1
#endif
#endif

#if HAS_CALLGRIND

// A kernel that failed leaves counting on; toggling again would turn it off.
static bool counting;

bool cg_is_built_in(void) { return true; }

bool cg_is_available(void) { return RUNNING_ON_VALGRIND > 0; }

/// Whether callgrind collects on all threads as soon as it instruments; toggling is of a thread
/// alone. Looked up before counting begins.
static bool counts_all_threads;

void cg_begin(void) {
  if (!counting) {
    counts_all_threads = getenv("EMBEDBENCH_COUNT_THREADS") != NULL;
    CALLGRIND_START_INSTRUMENTATION;
    if (!counts_all_threads) CALLGRIND_TOGGLE_COLLECT;
  }
  counting = true;
  CALLGRIND_ZERO_STATS;
}

void cg_end(void) {
  if (!counts_all_threads) CALLGRIND_TOGGLE_COLLECT;
  counting = false;
  CALLGRIND_STOP_INSTRUMENTATION;
}

void cg_write(const char *name) { CALLGRIND_DUMP_STATS_AT(name); }

#else

bool cg_is_built_in(void) { return false; }
bool cg_is_available(void) { return false; }
void cg_begin(void) {}
void cg_end(void) {}
void cg_write(const char *name) { (void)name; }

#endif
