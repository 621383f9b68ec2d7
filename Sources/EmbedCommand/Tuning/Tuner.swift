// Measures where one way of running a forward call becomes faster than another on this machine, in the
// order in which the limits depend on each other. What would change is measured a second time, against
// what is built in alone, and stays as it is unless both times agree.

internal import EmbedData
internal import EmbedKernel

internal import CSystem

/// Finds this machine's tuning.
struct Tuner {
  /// A line of the report.
  struct Finding {
    let title: String
    let builtIn: String
    let chosen: String
    let gain: Double
  }

  /// What is measured at: bytes of output, in rows of some floats.
  private struct Case {
    let bytes: Int
    let dim: Int
  }

  private typealias Way = (kernels: Kernels, tuning: Tuning)

  private(set) var tuning = Tuning()
  private(set) var findings: [Finding] = []
  private let memory: TunerMemory
  private let progress: ProgressBar
  /// Seconds of a contest of two ways.
  private let unit: Double
  /// Seconds of measuring a change again.
  private let again: Double
  private var done = 0

  private static let threadCases = (Array(14...22) + [25]).map { Case(bytes: 1 << $0, dim: 256) }
  private static let streamingCases = (20...26).map { Case(bytes: 1 << $0, dim: 768) }
  private static let lineCases = [64, 128, 256, 512, 1_024, 2_048].map {
    Case(bytes: 32 << 10, dim: $0)
  }
  private static let distanceCases = [256, 768].map { Case(bytes: 24 << 20, dim: $0) }
  private static let smallCases = [8 << 10, 32 << 10].map { Case(bytes: $0, dim: 256) }
  private static let mediumCases = [256 << 10, 2 << 20].map { Case(bytes: $0, dim: 256) }
  private static let largeCases = [Case(bytes: 48 << 20, dim: 768)]

  /// The built-in distance first.
  private static let distances = [Tuning().prefetchRows, 2, 4, 8, 16, 24, 32, 48]
  private static let backends: [Backend] = [.native, .simd, .openBLAS]

  /// Measures for some `seconds`, and a second or two to make ready.
  init(seconds: Double) throws {
    let pairs = Self.threadCases.count + Self.streamingCases.count + Self.lineCases.count
    let trios = Self.smallCases.count + Self.mediumCases.count + Self.largeCases.count
    // A contest of many ways takes as much longer.
    let units = pairs + 2 * trios + Self.distanceCases.count * Self.distances.count / 2
    unit = 0.7 * seconds / Double(units)
    again = 0.3 * seconds / 7
    memory = try TunerMemory()
    progress = ProgressBar(
      label: "Tuning", total: pairs + trios + Self.distanceCases.count, unit: .items("contests"))
    defer { progress.finish() }
    try findThreads()
    try findStreaming()
    try findLines()
    try findDistance()
    tuning.backends.small = try findBackend("small outputs", Self.smallCases)
    tuning.backends.medium = try findBackend("medium outputs", Self.mediumCases)
    tuning.backends.large = try findBackend("large outputs", Self.largeCases)
  }

  // MARK: Measuring

  private func contest(_ place: Case, seconds: Double, _ ways: [Way]) throws -> Contest {
    try memory.prepare(outputBytes: place.bytes, dim: place.dim)
    let spins = OpenBLASLibrary.threads > 1
    return try Contest(ways: ways.count, budget: seconds) { way in
      try memory.embed(ways[way].kernels, ways[way].tuning)
    } afterTurn: { way in
      // OpenBLAS's threads spin for some 26 milliseconds after a call, on a core that others need.
      if spins, ways[way].kernels.backend == .openBLAS { usleep(40_000) }
    }
  }

  private mutating func contests(
    _ cases: [Case], units: Double = 1, _ ways: [Way]
  ) throws -> [Contest] {
    try cases.map { place in
      defer {
        done += 1
        progress.update(completed: done)
      }
      return try contest(place, seconds: unit * units, ways)
    }
  }

  /// Measures a change again and reports what comes of it.
  private mutating func settle<Value>(
    _ title: String, _ choice: Choice<Value>, builtIn: Value, _ cases: [Case],
    shown: (Value) -> String, _ way: (Value) -> Way
  ) throws -> Value {
    var settled = choice
    if choice.value != builtIn {
      let seconds = again / Double(cases.count)
      let contests = try cases.map {
        try contest($0, seconds: seconds, [way(builtIn), way(choice.value)])
      }
      settled = Crossover.way([builtIn, choice.value], contests)
    }
    findings.append(
      Finding(
        title: title, builtIn: shown(builtIn), chosen: shown(settled.value), gain: settled.gain))
    return settled.value
  }

  /// Finds the limit from which the second of two ways is taken.
  private mutating func findLimit(
    _ title: String, _ limit: WritableKeyPath<Tuning, Int>, _ cases: [Case],
    size: (Case) -> Int = { $0.bytes }, shown: (Int) -> String = Tuning.shown(bytes:),
    _ kernels: Kernels, _ ways: [Way]
  ) throws {
    let builtIn = tuning[keyPath: limit]
    let choice = Crossover.limit(
      cases.map(size), try contests(cases, ways), builtIn: builtIn)
    // Only between the two limits do they differ.
    let between = min(builtIn, choice.value)..<max(builtIn, choice.value)
    let start = tuning
    tuning[keyPath: limit] = try settle(
      title, choice, builtIn: builtIn, cases.filter { between.contains(size($0)) }, shown: shown
    ) { value in
      var way = start
      way[keyPath: limit] = value
      return (kernels, way)
    }
  }

  // MARK: Limits

  private mutating func findThreads() throws {
    guard Threads.available > 1 else { return }
    try findLimit(
      "threads from", \.parallelBytes, Self.threadCases, .native,
      [1, Threads.available].map { (Kernels.native.threads($0), tuning) })
  }

  private mutating func findStreaming() throws {
    let ways: [Way] = [Tuning.never, 0].map { limit in
      var way = tuning
      way.streamingBytes = limit
      return (.native, way)
    }
    try findLimit(
      "past the cache from", \.streamingBytes, Self.streamingCases, .native, ways)
  }

  /// Where AVX-512 is the best, AVX2 may be better for rows in cache.
  private mutating func findLines() throws {
    guard InstructionSet.best == .avx512, InstructionSet.avx2.isAvailable else { return }
    try findLimit(
      "in cache by AVX2 from", \.avx2Dim, Self.lineCases, size: { $0.dim },
      shown: Tuning.shown(dim:), .native.threads(1),
      [InstructionSet.avx512, .avx2].map {
        (Kernels(backend: .native, threads: 1, instructionSet: $0), tuning)
      })
  }

  private mutating func findDistance() throws {
    let start = tuning
    let way = { (rows: Int) -> Way in
      var way = start
      way.prefetchRows = rows
      return (.native, way)
    }
    let measured = try contests(
      Self.distanceCases, units: Double(Self.distances.count) / 2, Self.distances.map(way))
    tuning.prefetchRows = try settle(
      "prefetch", Crossover.way(Self.distances, measured), builtIn: tuning.prefetchRows,
      Self.distanceCases, shown: { plural($0, "row") + " ahead" }, way)
  }

  private mutating func findBackend(_ title: String, _ cases: [Case]) throws -> Backend {
    let start = tuning
    let way = { (backend: Backend) -> Way in (Kernels(backend: backend), start) }
    let measured = try contests(cases, units: 2, Self.backends.map(way))
    return try settle(
      title, Crossover.way(Self.backends, measured), builtIn: .native, cases,
      shown: { $0.rawValue }, way)
  }
}

extension Tuning {
  /// A limit in bytes, in words.
  static func shown(bytes: Int) -> String { bytes == never ? "never" : formatted(memory: bytes) }
  /// A limit in elements of a row, in words.
  static func shown(dim: Int) -> String { dim == never ? "never" : "dim \(dim)" }
}
