// Measures where one way of running a call becomes faster than another on this machine, in the order in
// which the limits depend on each other. What would change is measured a second time, against what is
// built in alone, and stays as it is unless it is surely faster; and once more all changes together.

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
    var work = TunedWork.forward
  }

  private typealias Way = (kernels: Kernels, tuning: Tuning)

  private(set) var tuning = Tuning.builtIn
  /// Whether all changes together lost where they were measured last, so that none was taken.
  private(set) var isTakenBack = false
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

  private static let setCases = (16...25).map { Case(bytes: 1 << $0, dim: 768) }
  private static let updateCases = [256, 768].flatMap { dim in
    [TunedWork.rowSparse, .dense].map { Case(bytes: 24 << 20, dim: dim, work: $0) }
  }
  private static let lastCases =
    [16 << 10, 256 << 10, 2 << 20].map { Case(bytes: $0, dim: 256) }
    + [4 << 20, 24 << 20].map { Case(bytes: $0, dim: 768) } + updateCases

  /// What is built in first.
  private static let distances = {
    let builtIn = RowPrefetch(Tuning.builtIn)
    let others =
      [2, 4, 8, 12, 16, 24, 32, 48].map { RowPrefetch(rows: $0, near: 0) }
      + [2, 4, 8].map { RowPrefetch(rows: $0, near: 32 << 10) }
    return [builtIn] + others.filter { $0 != builtIn }
  }()
  /// Bytes ahead of sums and steps, and the most that go into L1; what is built in first.
  private static let updates = {
    let builtIn = UpdatePrefetch(Tuning.builtIn)
    let others = [3, 6, 12, 24, 48].flatMap { ahead in
      [0, 16 << 10].map { UpdatePrefetch(ahead: ahead << 10, near: $0) }
    }
    // Further than reaches into L1 the second number makes no difference.
    return [builtIn] + others.filter { $0 != builtIn && !($0.ahead > 16 << 10 && $0.near > 0) }
  }()
  private static let backends: [Backend] = [.native, .simd, .openBLAS]

  /// Measures for some `seconds`, and a second or two to make ready.
  init(seconds: Double) throws {
    let pairs = Self.threadCases.count + Self.streamingCases.count + Self.lineCases.count
    let trios = Self.smallCases.count + Self.mediumCases.count + Self.largeCases.count
    let many = Self.distanceCases.count + Self.updateCases.count
    // A contest of many ways takes as much longer.
    let units =
      pairs + 2 * Self.setCases.count + 2 * trios
      + Self.distanceCases.count * Self.distances.count / 2
      + Self.updateCases.count * Self.updates.count / 2
    unit = 0.55 * seconds / Double(units)
    again = 0.2 * seconds / 10
    memory = try TunerMemory()
    progress = ProgressBar(
      label: "Tuning", total: pairs + 2 * Self.setCases.count + trios + many,
      unit: .items("contests"))
    defer { progress.finish() }
    try findThreads()
    try findStreaming()
    try findLines()
    try findSets()
    try findOrder()
    try findDistance()
    try findUpdates()
    tuning.backends.small = try findBackend("small outputs", Self.smallCases)
    tuning.backends.medium = try findBackend("medium outputs", Self.mediumCases)
    tuning.backends.large = try findBackend("large outputs", Self.largeCases)
    try confirm(seconds: 0.25 * seconds)
  }

  // MARK: Measuring

  private func contest(_ place: Case, seconds: Double, _ ways: [Way]) throws -> Contest {
    try memory.prepare(outputBytes: place.bytes, dim: place.dim)
    let spins = OpenBLASLibrary.threads > 1
    return try Contest(ways: ways.count, budget: seconds) { way in
      try memory.run(place.work, ways[way].kernels, ways[way].tuning)
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
      if settled.value != builtIn, !Crossover.isSure(contests) {
        settled = Choice(value: builtIn, gain: 0)
      }
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

  /// Measures all changes together against what is built in, and takes them back unless they surely gain
  /// where calls of all kinds are measured, or lose nowhere.
  private mutating func confirm(seconds: Double) throws {
    guard tuning != .builtIn else { return }
    let each = seconds / Double(Self.lastCases.count)
    let contests = try Self.lastCases.map {
      try contest($0, seconds: each, [(.auto, Tuning.builtIn), (.auto, tuning)])
    }
    guard !Crossover.losesNowhere(contests) else { return }
    tuning = .builtIn
    isTakenBack = true
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
    guard InstructionSet.avx512.isAvailable, InstructionSet.avx2.isAvailable else { return }
    let ways: [Way] = [Tuning.never, 0].map { limit in
      var way = tuning
      way.avx2Dim = limit
      return (.native.threads(1), way)
    }
    try findLimit(
      "in cache by AVX2 from", \.avx2Dim, Self.lineCases, size: { $0.dim },
      shown: Tuning.shown(dim:), .native.threads(1), ways)
  }

  /// The same for rows in memory.
  private mutating func findSets() throws {
    guard InstructionSet.avx512.isAvailable, InstructionSet.avx2.isAvailable else { return }
    let ways: [Way] = [Tuning.never, 0].map { limit in
      var way = tuning
      way.avx2Bytes = limit
      return (.native, way)
    }
    try findLimit("large by AVX2 from", \.avx2Bytes, Self.setCases, .native, ways)
  }

  /// In which order rectangles are written that share their positions.
  private mutating func findOrder() throws {
    let ways: [Way] = [Tuning.never, 0].map { limit in
      var way = tuning
      way.byPositionBytes = limit
      return (.native, way)
    }
    try findLimit("by position from", \.byPositionBytes, Self.setCases, .native, ways)
  }

  /// How far ahead sums of gradients prefetch, and into which cache.
  private mutating func findUpdates() throws {
    let start = tuning
    let way = { (prefetch: UpdatePrefetch) -> Way in
      var way = start
      prefetch.set(in: &way)
      return (.native, way)
    }
    let measured = try contests(
      Self.updateCases, units: Double(Self.updates.count) / 2, Self.updates.map(way))
    let choice = try settle(
      "prefetch of updates", Crossover.way(Self.updates, measured), builtIn: Self.updates[0],
      Self.updateCases, shown: { $0.description }, way)
    choice.set(in: &tuning)
  }

  private mutating func findDistance() throws {
    let start = tuning
    let way = { (prefetch: RowPrefetch) -> Way in
      var way = start
      prefetch.set(in: &way)
      return (.native, way)
    }
    let measured = try contests(
      Self.distanceCases, units: Double(Self.distances.count) / 2, Self.distances.map(way))
    let choice = try settle(
      "prefetch", Crossover.way(Self.distances, measured), builtIn: Self.distances[0],
      Self.distanceCases, shown: { $0.description }, way)
    choice.set(in: &tuning)
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

/// How many rows ahead forward calls prefetch, and the most bytes that they prefetch into L1.
struct RowPrefetch: Equatable, CustomStringConvertible {
  let rows: Int
  let near: Int

  func set(in tuning: inout Tuning) { (tuning.prefetchRows, tuning.nearBytes) = (rows, near) }

  var description: String {
    plural(rows, "row") + " ahead"
      + (near > 0 ? ", into L1 where they are \(formatted(memory: near)) at most" : "")
  }
}

/// How far ahead sums and steps prefetch, in bytes, and the most that they prefetch into L1.
struct UpdatePrefetch: Equatable, CustomStringConvertible {
  let ahead: Int
  let near: Int

  func set(in tuning: inout Tuning) {
    (tuning.updateBytesAhead, tuning.updateNearBytes) = (ahead, near)
  }

  var description: String {
    "\(formatted(memory: ahead)) ahead" + (ahead <= near ? ", into L1" : "")
  }
}

extension RowPrefetch {
  init(_ tuning: Tuning) { self.init(rows: tuning.prefetchRows, near: tuning.nearBytes) }
}

extension UpdatePrefetch {
  init(_ tuning: Tuning) {
    self.init(ahead: tuning.updateBytesAhead, near: tuning.updateNearBytes)
  }
}

extension Tuning {
  /// A limit in bytes, in words.
  static func shown(bytes: Int) -> String { bytes == never ? "never" : formatted(memory: bytes) }
  /// A limit in elements of a row, in words.
  static func shown(dim: Int) -> String { dim == never ? "never" : "dim \(dim)" }
}
