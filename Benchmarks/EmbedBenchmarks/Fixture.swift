// Tables, ids and output of one workload, made when a benchmark first needs them.
// Listing benchmarks allocates nothing; benchmarks of one workload share a fixture, and those of
// one vocabulary and dim a table; the oldest are freed when they outgrow a budget.

internal import EmbedKernel

/// The memory that a workload's benchmarks run on.
@safe final class Fixture {
  let workload: Workload
  let tokens: EmbeddingTable<Float>
  let positions: EmbeddingTable<Float>
  let output: AlignedBuffer<Float>

  /// The batches to rotate over, each `[batch, context]`.
  let ids: [UnsafeBufferPointer<Int32>]

  /// Their sum, by which other programs show that they draw the same.
  let idSum: Int

  private let idMemory: AlignedBuffer<Int32>

  init(_ workload: Workload, tokens: EmbeddingTable<Float>) throws {
    self.workload = workload
    self.tokens = tokens
    positions = try EmbeddingTable<Float>(
      rows: workload.context, dim: workload.dim, .uniform(low: -1, high: 1), seed: 2)
    output = try AlignedBuffer(count: workload.outputCount)
    let drawn = workload.drawIDs()
    idSum = drawn.reduce(0) { $0 + Int($1) }
    idMemory = try AlignedBuffer(count: drawn.count)
    unsafe _ = idMemory.unsafeBuffer.initialize(fromContentsOf: drawn)
    let all = unsafe UnsafeBufferPointer(idMemory.unsafeBuffer)
    unsafe ids = (0..<workload.idBatches).map { batch in
      unsafe UnsafeBufferPointer(
        rebasing: all[batch * workload.tokens..<(batch + 1) * workload.tokens])
    }
  }

  var bytes: Int { workload.outputBytes + tokens.rows * tokens.dim * 4 }
}

/// Fixtures by workload, most recently used last, and what all share.
final class FixtureStore {
  /// What is kept beside the fixture in use: room for a few, so that interleaved benchmarks of
  /// different shapes do not fill tables anew each time.
  private static let budget = 3 << 30

  /// The most bytes that one copy moves; its rate is the same from there on.
  static let longestCopy = 64 << 20

  private var fixtures: [Fixture] = []
  private var backwardFixtures: [(form: BackwardForm, fixture: BackwardFixture)] = []
  private var teams: [Int: Team] = [:]
  private var source: CopySource?

  func fixture(_ workload: Workload) throws -> Fixture {
    if let index = fixtures.firstIndex(where: { $0.workload == workload }) {
      let found = fixtures.remove(at: index)
      fixtures.append(found)
      return found
    }
    // Bounded before the new one is made, so that two large ones are never held at once.
    let coming = workload.outputBytes + workload.vocabulary * workload.dim * 4
    while !fixtures.isEmpty, fixtures.reduce(coming, { $0 + $1.bytes }) > Self.budget {
      fixtures.removeFirst()
    }
    let shared = fixtures.last {
      $0.tokens.rows == workload.vocabulary && $0.tokens.dim == workload.dim
    }
    let tokens =
      try shared?.tokens
      ?? EmbeddingTable<Float>(
        rows: workload.vocabulary, dim: workload.dim, .uniform(low: -1, high: 1), seed: 1)
    let made = try Fixture(workload, tokens: tokens)
    fixtures.append(made)
    return made
  }

  /// The last few are kept, as interleaved runs return to them.
  func backward(_ workload: Workload, _ form: BackwardForm) throws -> BackwardFixture {
    if let found = backwardFixtures.first(where: {
      $0.form == form && $0.fixture.forward.workload == workload
    }) {
      return found.fixture
    }
    if backwardFixtures.count == 4 { backwardFixtures.removeFirst() }
    let made = try BackwardFixture(fixture(workload), form)
    backwardFixtures.append((form, made))
    return made
  }

  func team(_ threads: Int) throws -> Team {
    if let team = teams[threads] { return team }
    let team = try Team(threads: threads)
    teams[threads] = team
    return team
  }

  /// What copies of up to `count` floats read.
  func copySource(_ count: Int) throws -> CopySource {
    let source = try self.source ?? CopySource()
    self.source = source
    try source.prepare(min(count, Self.longestCopy / 4))
    return source
  }
}

/// What copies read: for long ones a ring several times the size of the caches, so that no source is
/// cached; for short ones always the same floats. The ring is made when first needed, since filling
/// it takes longer than many a short benchmark.
@safe final class CopySource {
  private let short: AlignedBuffer<Float>
  private var ring: AlignedBuffer<Float>?
  private var next = 0

  init() throws {
    short = try AlignedBuffer(count: cacheSizedBytes / 4)
  }

  /// Makes ready what copies of `count` floats read.
  fileprivate func prepare(_ count: Int) throws {
    if count * 4 >= cacheSizedBytes, ring == nil {
      ring = try AlignedBuffer(count: FixtureStore.longestCopy)
    }
  }

  /// `count` floats, at most as many as were prepared; after those given last if they are many.
  func take(_ count: Int) -> UnsafePointer<Float> {
    guard count * 4 >= cacheSizedBytes else {
      return unsafe UnsafePointer(short.unsafeBuffer.baseAddress.unsafelyUnwrapped)
    }
    guard let floats = unsafe ring?.unsafeBuffer, let base = floats.baseAddress else {
      preconditionFailure("no source was prepared for \(count) floats")
    }
    if next + count > floats.count { next = 0 }
    let start = unsafe UnsafePointer(base + next)
    next += count
    return unsafe start
  }
}

/// Outputs from this size on are held against the streaming copy, smaller ones against `memcpy`.
let cacheSizedBytes = 8 << 20
