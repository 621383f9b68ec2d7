// Google Benchmark for Swift code: register under a name, then run what the command line selects.
// Its flags, JSON and tools work unchanged (`--benchmark_filter`, `--benchmark_out`, ...).
//
//     Benchmark.register("sum", bytes: 4 * values.count) { sink = values.reduce(0, +) }
//     Benchmark.main()
//
// Debian builds the library without NDEBUG, so it warns of a debug build: the timing loop is
// in this module and its caller, and only the reporting is slow.

internal import CCallgrind
internal import CGoogleBenchmark
internal import Foundation
internal import Synchronization

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// The unit that a benchmark's times are shown in.
public enum BenchmarkUnit: Sendable {
  case nanosecond, microsecond, millisecond, second

  fileprivate var inC: gb_time_unit {
    switch self {
    case .nanosecond: GB_NANOSECOND
    case .microsecond: GB_MICROSECOND
    case .millisecond: GB_MILLISECOND
    case .second: GB_SECOND
    }
  }
}

/// Which clock rules the number of iterations and the rates.
public enum BenchmarkClock: Sendable {
  /// Wall time, right for work on several threads. Adds `/real_time` to the name.
  case wall

  /// The calling thread's processor time.
  case processor

  /// The durations that ``BenchmarkState/measureManually(_:)`` is given. Adds `/manual_time`.
  case manual
}

/// The registry of benchmarks, and the program that runs them.
public enum Benchmark {
  /// Registers a benchmark whose body is called once an iteration.
  ///
  /// The call goes through a closure, some 1 to 2 nanoseconds an iteration. Where that matters
  /// use ``register(_:unit:clock:body:)``, whose loop is inlined.
  ///
  /// - Parameters:
  ///   - name: Shown and filtered by; parts are set apart by `/`.
  ///   - bytes: Moved by one iteration, reported as `bytes_per_second`; nil leaves it out.
  ///   - unit: What times are shown in.
  ///   - clock: What is measured.
  ///   - iteration: The measured work. An error it throws is reported as the benchmark's failure.
  public static func register(
    _ name: String, bytes: Int? = nil, unit: BenchmarkUnit = .microsecond,
    clock: BenchmarkClock = .wall, _ iteration: @escaping () throws -> Void
  ) {
    register(name, unit: unit, clock: clock) { state in
      try state.measure(iteration)
      if let bytes {
        state.setBytes(perIteration: bytes)
      }
    }
  }

  /// Registers a benchmark whose body sets up, calls ``BenchmarkState/measure(_:)`` and sets
  /// counters. The body runs several times: while the library seeks the number of iterations,
  /// and for each repetition. What is costly to set up should be kept between the calls.
  ///
  /// - Parameters:
  ///   - name: Shown and filtered by; parts are set apart by `/`.
  ///   - unit: What times are shown in.
  ///   - clock: What is measured.
  ///   - body: The benchmark. An error it throws is reported as the benchmark's failure.
  public static func register(
    _ name: String, unit: BenchmarkUnit = .microsecond, clock: BenchmarkClock = .wall,
    body: @escaping (borrowing BenchmarkState) throws -> Void
  ) {
    // The library keeps the context until the program ends, or until `removeAll`, after which
    // it is never used again; a few words are then left unreleased.
    let context = unsafe Unmanaged.passRetained(BenchmarkBody(name, body)).toOpaque()
    let registered = unsafe gb_register(
      name,
      { pointer, context in
        guard let pointer = unsafe pointer, let context = unsafe context else { return }
        // All of a run, setting up included, for that would disturb the others too.
        Turns.shared?.take()
        defer { Turns.shared?.pass() }
        let body = unsafe Unmanaged<BenchmarkBody>.fromOpaque(context).takeUnretainedValue()
        let state = unsafe BenchmarkState(
          pointer, RunPlan(body.name, Benchmark.mode.withLock { $0 }))
        do {
          try body.run(state)
        } catch {
          state.skip("\(error)")
        }
      }, context)
    unsafe gb_unit(registered, unit.inC)
    if let iterations = fixedIterations { unsafe gb_iterations(registered, iterations) }
    switch clock {
    case .wall: unsafe gb_use_real_time(registered)
    case .manual: unsafe gb_use_manual_time(registered)
    case .processor: break
    }
  }

  /// Does nothing with `value`, unknown to the optimiser: what only this call uses is computed all the
  /// same. Costs some nanoseconds, a call and for a reference its count.
  @inline(never)
  @_optimize(none)
  public static func keep<Value>(_ value: Value) {}

  /// Forgets all registered benchmarks.
  public static func removeAll() {
    gb_clear()
  }

  /// Adds a fact to the context block of the report, such as a library's version. A key given
  /// before keeps its first value.
  public static func addContext(_ key: String, _ value: String) {
    unsafe gb_add_custom_context(key, value)
  }

  /// Runs what the arguments select, and ends the program: status 0, or 1 if an argument is
  /// unknown or nothing matches.
  ///
  /// Beside the library's flags there is `--count_instructions`, for a program that runs under
  /// `valgrind --tool=callgrind --instr-atstart=no --collect-atstart=no`: it calls each body three
  /// times, and has callgrind count the third call alone and write the counts under the benchmark's
  /// name. `scripts/bench instructions` is the convenient way.
  ///
  /// The environment variable `EMBEDBENCH_SLOWDOWN=1.10` slows the benchmarks by that factor, or
  /// with `1.10:NAME` those whose names contain `NAME`, to try out a comparison. Either a malformed
  /// value, or no valgrind where instructions are to be counted, is status 1.
  ///
  /// - Parameter repetitions: Repetitions of all selected benchmarks in random order, so that
  ///   slow drift of the machine falls on all of them alike: the way to measure ratios. Nil
  ///   leaves the library's order. Arguments on the command line win over it.
  public static func main(interleaved repetitions: Int? = nil) -> Never {
    let status = run(CommandLine.arguments, interleaved: repetitions)
    gb_shutdown()
    exit(status)
  }

  /// Runs what `arguments` select.
  ///
  /// - Parameters:
  ///   - arguments: The program's name, then flags as on the command line.
  ///   - repetitions: As for ``main(interleaved:)``.
  /// - Returns: The exit status: 0, or 1 if an argument is unknown or nothing matches.
  public static func run(_ arguments: [String], interleaved repetitions: Int? = nil) -> Int32 {
    var arguments = arguments
    let counts = arguments.contains(countFlag)
    arguments.removeAll { $0 == countFlag }
    guard let chosen = chooseMode(counts: counts) else { return 1 }
    mode.withLock { $0 = chosen }
    var all = [arguments.first ?? "benchmark"]
    if let repetitions {
      all.append("--benchmark_repetitions=\(repetitions)")
      all.append("--benchmark_enable_random_interleaving=true")
    }
    all += arguments.dropFirst()
    // One iteration fills it.
    if counts { all.append("--benchmark_min_time=0.000000001") }
    // The library points into the strings for as long as it runs, and shifts the vector when it
    // takes a flag out, so the strings are freed by a list of their own.
    let strings = unsafe all.map { unsafe strdup($0) }
    defer { unsafe strings.forEach { unsafe free($0) } }
    var vector = unsafe strings + [nil]
    var count = Int32(all.count)
    let recognized = unsafe vector.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return false }
      unsafe gb_initialize(&count, base)
      return unsafe !gb_report_unrecognized_arguments(count, base)
    }
    guard recognized else { return 1 }
    if case .slowed(let slowdown) = chosen {
      addContext("slowdown", "\(slowdown.factor):\(slowdown.part)")
    }
    for (key, value) in BenchmarkContext.facts() {
      addContext(key, value)
    }
    return gb_run_specified() == 0 ? 1 : 0
  }

  /// Iterations that the environment fixes, so that processes which are compared do the same work
  /// whatever a first look at the clock told them.
  private static let fixedIterations = ProcessInfo.processInfo.environment["EMBEDBENCH_ITERATIONS"]
    .flatMap { Int64($0) }.flatMap { $0 > 0 ? $0 : nil }

  private static let countFlag = "--count_instructions"

  /// Set by ``run(_:interleaved:)``, read by each benchmark as it starts.
  private static let mode = Mutex(RunMode.timed)

  /// Nil, with the reason on standard error, where what is asked for can't be had.
  private static func chooseMode(counts: Bool) -> RunMode? {
    if counts {
      guard cg_is_available() else {
        let reason =
          cg_is_built_in()
          ? "run this under valgrind --tool=callgrind"
          : "built without valgrind's headers; install valgrind and build anew"
        complain("\(countFlag): \(reason)")
        return nil
      }
      return .counted
    }
    guard let text = ProcessInfo.processInfo.environment[Slowdown.variable], !text.isEmpty
    else { return .timed }
    guard let slowdown = Slowdown(text) else {
      complain("\(Slowdown.variable): '\(text)' is no factor from 1 to 100 such as 1.10")
      return nil
    }
    return .slowed(slowdown)
  }

  private static func complain(_ message: String) {
    FileHandle.standardError.write(Data("error: \(message)\n".utf8))
  }
}

/// Carries a Swift closure through the library's untyped context.
private final class BenchmarkBody {
  let name: String
  let run: (borrowing BenchmarkState) throws -> Void

  init(_ name: String, _ run: @escaping (borrowing BenchmarkState) throws -> Void) {
    self.name = name
    self.run = run
  }
}
