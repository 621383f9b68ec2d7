// Google Benchmark's C++ interface as C functions: one line each, no state of its own but the
// keys of the context block, which the library prints an error for when they come twice.

#include "CGoogleBenchmark.h"

#include <benchmark/benchmark.h>

#include <set>
#include <string>

namespace {

benchmark::State &in(gb_state *state) { return *reinterpret_cast<benchmark::State *>(state); }

const benchmark::State &in(const gb_state *state) {
  return *reinterpret_cast<const benchmark::State *>(state);
}

benchmark::internal::Benchmark *in(gb_benchmark *registered) {
  return reinterpret_cast<benchmark::internal::Benchmark *>(registered);
}

benchmark::Counter::Flags counter_flags(int flags) {
  benchmark::Counter::Flags result = benchmark::Counter::kDefaults;
  if (flags & GB_COUNTER_RATE) result = result | benchmark::Counter::kIsRate;
  if (flags & GB_COUNTER_PER_ITERATION) {
    result = result | benchmark::Counter::kIsIterationInvariant;
  }
  if (flags & GB_COUNTER_AVERAGE) result = result | benchmark::Counter::kAvgIterations;
  if (flags & GB_COUNTER_INVERT) result = result | benchmark::Counter::kInvert;
  return result;
}

}  // namespace

extern "C" {

void gb_initialize(int *argc, char **argv) { benchmark::Initialize(argc, argv); }

bool gb_report_unrecognized_arguments(int argc, char **argv) {
  return benchmark::ReportUnrecognizedArguments(argc, argv);
}

void gb_add_custom_context(const char *key, const char *value) {
  static std::set<std::string> known;
  if (known.insert(key).second) benchmark::AddCustomContext(key, value);
}

size_t gb_run_specified(void) {
  // Named, since version 1.7.1 deletes the one it makes itself and then hands it out again.
  static benchmark::BenchmarkReporter *const reporter = benchmark::CreateDefaultDisplayReporter();
  return benchmark::RunSpecifiedBenchmarks(reporter);
}

const char *gb_compiler(void) { return __VERSION__; }

void gb_clear(void) { benchmark::ClearRegisteredBenchmarks(); }

void gb_shutdown(void) { benchmark::Shutdown(); }

gb_benchmark *gb_register(const char *name, gb_function function, void *context) {
  auto *registered =
      benchmark::RegisterBenchmark(name, [function, context](benchmark::State &state) {
        function(reinterpret_cast<gb_state *>(&state), context);
      });
  return reinterpret_cast<gb_benchmark *>(registered);
}

void gb_use_real_time(gb_benchmark *registered) { in(registered)->UseRealTime(); }

void gb_use_manual_time(gb_benchmark *registered) { in(registered)->UseManualTime(); }

void gb_unit(gb_benchmark *registered, gb_time_unit unit) {
  switch (unit) {
    case GB_NANOSECOND: in(registered)->Unit(benchmark::kNanosecond); break;
    case GB_MICROSECOND: in(registered)->Unit(benchmark::kMicrosecond); break;
    case GB_MILLISECOND: in(registered)->Unit(benchmark::kMillisecond); break;
    case GB_SECOND: in(registered)->Unit(benchmark::kSecond); break;
  }
}

void gb_min_time(gb_benchmark *registered, double seconds) { in(registered)->MinTime(seconds); }

void gb_iterations(gb_benchmark *registered, int64_t count) { in(registered)->Iterations(count); }

bool gb_keep_running(gb_state *state) { return in(state).KeepRunning(); }

bool gb_keep_running_batch(gb_state *state, int64_t count) {
  return in(state).KeepRunningBatch(count);
}

int64_t gb_max_iterations(const gb_state *state) { return in(state).max_iterations; }

int64_t gb_iterations_done(const gb_state *state) { return in(state).iterations(); }

void gb_pause_timing(gb_state *state) { in(state).PauseTiming(); }

void gb_resume_timing(gb_state *state) { in(state).ResumeTiming(); }

void gb_set_iteration_time(gb_state *state, double seconds) { in(state).SetIterationTime(seconds); }

void gb_skip_with_error(gb_state *state, const char *message) { in(state).SkipWithError(message); }

bool gb_error_occurred(const gb_state *state) { return in(state).error_occurred(); }

void gb_set_bytes_processed(gb_state *state, int64_t bytes) { in(state).SetBytesProcessed(bytes); }

void gb_set_items_processed(gb_state *state, int64_t items) { in(state).SetItemsProcessed(items); }

void gb_set_label(gb_state *state, const char *label) { in(state).SetLabel(label); }

void gb_set_counter(gb_state *state, const char *name, double value, int flags) {
  const auto step =
      (flags & GB_COUNTER_BYTES) ? benchmark::Counter::kIs1024 : benchmark::Counter::kIs1000;
  in(state).counters[name] = benchmark::Counter(value, counter_flags(flags), step);
}

}  // extern "C"
