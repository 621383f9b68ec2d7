// Google Benchmark through C functions, since Swift can't import its headers here.
// Names follow the C++ ones; see its user guide for what each does. One call into the library
// a batch of iterations, never one an iteration, so nothing here is on a measured path.

#ifndef C_GOOGLE_BENCHMARK_H
#define C_GOOGLE_BENCHMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A running benchmark, valid only within the call of its function.
typedef struct gb_state gb_state;

/// A registered benchmark, valid until `gb_clear`.
typedef struct gb_benchmark gb_benchmark;

typedef void (*gb_function)(gb_state *state, void *context);

typedef enum { GB_NANOSECOND, GB_MICROSECOND, GB_MILLISECOND, GB_SECOND } gb_time_unit;

/// How a counter's value is turned into what is reported; may be combined.
typedef enum {
  GB_COUNTER_PLAIN = 0,
  /// Divided by the measured seconds.
  GB_COUNTER_RATE = 1 << 0,
  /// Multiplied by the iterations.
  GB_COUNTER_PER_ITERATION = 1 << 1,
  /// Divided by the iterations.
  GB_COUNTER_AVERAGE = 1 << 2,
  /// Inverted, last of all.
  GB_COUNTER_INVERT = 1 << 3,
  /// Shown in steps of 1024 rather than 1000.
  GB_COUNTER_BYTES = 1 << 4,
} gb_counter_flags;

// MARK: The program

/// Takes the library's flags out of `argv`; prints and exits on `--help` and on a malformed flag.
void gb_initialize(int *argc, char **argv);

/// Reports what is left in `argv` after its first element as unrecognised, to standard error;
/// true if there was any.
bool gb_report_unrecognized_arguments(int argc, char **argv);

/// Adds to the context block of the report. A key given before is left as it was.
void gb_add_custom_context(const char *key, const char *value);

/// Runs, or lists, what the filter selects; the number of benchmarks selected.
size_t gb_run_specified(void);

/// The compiler that built this shim, which is the toolchain's own.
const char *gb_compiler(void);

/// Removes all registered benchmarks. Contexts are the caller's to free.
void gb_clear(void);

/// Frees what the library holds. Nothing may be called afterwards.
void gb_shutdown(void);

// MARK: Registration

/// `function(state, context)` runs for each measurement, on the calling thread.
gb_benchmark *gb_register(const char *name, gb_function function, void *context);
void gb_use_real_time(gb_benchmark *benchmark);
void gb_use_manual_time(gb_benchmark *benchmark);
void gb_unit(gb_benchmark *benchmark, gb_time_unit unit);
/// Seconds; above 0.
void gb_min_time(gb_benchmark *benchmark, double seconds);
/// Above 0.
void gb_iterations(gb_benchmark *benchmark, int64_t count);

// MARK: Within a benchmark

bool gb_keep_running(gb_state *state);
/// `count` above 0.
bool gb_keep_running_batch(gb_state *state, int64_t count);
/// Iterations that this run is to make, known before it starts.
int64_t gb_max_iterations(const gb_state *state);
/// Iterations made.
int64_t gb_iterations_done(const gb_state *state);
void gb_pause_timing(gb_state *state);
void gb_resume_timing(gb_state *state);
void gb_set_iteration_time(gb_state *state, double seconds);
void gb_skip_with_error(gb_state *state, const char *message);
bool gb_error_occurred(const gb_state *state);
/// In all iterations together.
void gb_set_bytes_processed(gb_state *state, int64_t bytes);
/// In all iterations together.
void gb_set_items_processed(gb_state *state, int64_t items);
void gb_set_label(gb_state *state, const char *label);
/// `flags` is a combination of `gb_counter_flags`.
void gb_set_counter(gb_state *state, const char *name, double value, int flags);

#ifdef __cplusplus
}
#endif

#endif
