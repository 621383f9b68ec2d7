// A running benchmark as its body sees it: measure, then say what was moved.
// The loop is inlined into the caller, so an iteration costs a decrement beside the body itself;
// the library is told once a run, not once an iteration.

internal import CGoogleBenchmark

/// A running benchmark. Set up first, call ``measure(_:)`` once, then set counters.
///
/// Valid within the body that it was given to; it can't be copied out of it.
@safe
public struct BenchmarkState: ~Copyable {
  private let pointer: OpaquePointer
  private let plan: RunPlan

  internal init(_ pointer: OpaquePointer, _ plan: RunPlan) {
    unsafe self.pointer = pointer
    self.plan = plan
  }

  /// The calls of its body that ``measure(_:)`` makes in this run.
  public var iterations: Int {
    unsafe plan.calls(Int(gb_max_iterations(pointer)))
  }

  /// Times ``iterations`` calls of `body`, or counts the instructions of the last of them where the
  /// program was asked to. At most once a run.
  ///
  /// Nothing is allocated. An error of `body` stops the clock and is thrown on; the harness
  /// reports it as this benchmark's failure.
  @inlinable
  public borrowing func measure<Failure: Error>(
    _ body: () throws(Failure) -> Void
  ) throws(Failure) {
    var batch = start()
    while batch != 0 {
      var left = batch
      while left != 0 {
        try body()
        left &-= 1
      }
      batch = next()
    }
  }

  /// Takes ``iterations`` times that `body` measured itself, for a benchmark registered with
  /// ``BenchmarkClock/manual``. At most once a run.
  @inlinable
  public borrowing func measureManually<Failure: Error>(
    _ body: () throws(Failure) -> Duration
  ) throws(Failure) {
    var batch = start()
    while batch != 0 {
      var left = batch
      while left != 0 {
        record(try body())
        left &-= 1
      }
      batch = next()
    }
  }

  /// Runs `body` with the clock stopped, within ``measure(_:)``. Costs some hundred nanoseconds
  /// of clock reading, so it suits iterations of many microseconds.
  public borrowing func pausing<Failure: Error>(
    _ body: () throws(Failure) -> Void
  ) throws(Failure) {
    unsafe gb_pause_timing(pointer)
    try body()
    unsafe gb_resume_timing(pointer)
  }

  /// Starts the clock and returns how many calls to make first.
  @usableFromInline
  internal borrowing func start() -> Int {
    // One batch of all the iterations: the library's own counting loop stays outside.
    let iterations = unsafe gb_max_iterations(pointer)
    return unsafe gb_keep_running_batch(pointer, iterations) ? plan.first(Int(iterations)) : 0
  }

  /// Returns how many calls to make next, having stopped the clock if none.
  @usableFromInline
  internal borrowing func next() -> Int {
    let calls = plan.next()
    if calls == 0 { _ = unsafe gb_keep_running_batch(pointer, 1) }
    return calls
  }

  @usableFromInline
  internal borrowing func record(_ duration: Duration) {
    unsafe gb_set_iteration_time(pointer, duration / .seconds(1))
  }

  /// Reports `bytes_per_second`, each iteration having moved `bytes`.
  public borrowing func setBytes(perIteration bytes: Int) {
    unsafe gb_set_counter(
      pointer, "bytes_per_second", Double(bytes),
      BenchmarkCounter.ratePerIteration.flags | Int32(GB_COUNTER_BYTES.rawValue))
  }

  /// Reports `items_per_second`, each iteration having handled `items`.
  public borrowing func setItems(perIteration items: Int) {
    unsafe gb_set_counter(
      pointer, "items_per_second", Double(items), BenchmarkCounter.ratePerIteration.flags)
  }

  /// Reports a counter of the given name beside the times.
  public borrowing func setCounter(
    _ name: String, _ value: Double, as kind: BenchmarkCounter = .value
  ) {
    unsafe gb_set_counter(pointer, name, value, kind.flags)
  }

  /// Shows `label` at the end of the benchmark's line.
  public borrowing func setLabel(_ label: String) {
    unsafe gb_set_label(pointer, label)
  }

  /// Reports the benchmark as failed; return from the body afterwards.
  public borrowing func skip(_ reason: String) {
    unsafe gb_skip_with_error(pointer, reason)
  }
}

/// What the reporter makes of a counter's value.
public struct BenchmarkCounter: Sendable {
  internal let flags: Int32

  private init(_ flags: UInt32) {
    self.flags = Int32(flags)
  }

  /// The value itself.
  public static let value = BenchmarkCounter(GB_COUNTER_PLAIN.rawValue)

  /// The value, which holds for each iteration, over the time of an iteration.
  public static let ratePerIteration = BenchmarkCounter(
    GB_COUNTER_RATE.rawValue | GB_COUNTER_PER_ITERATION.rawValue)

  /// The value, summed over the iterations, over their time.
  public static let rate = BenchmarkCounter(GB_COUNTER_RATE.rawValue)

  /// The value, summed over the iterations, over their number.
  public static let average = BenchmarkCounter(GB_COUNTER_AVERAGE.rawValue)

  /// The time of an iteration over the value, such as seconds a token.
  public static let secondsPer = BenchmarkCounter(
    GB_COUNTER_RATE.rawValue | GB_COUNTER_PER_ITERATION.rawValue | GB_COUNTER_INVERT.rawValue)
}
