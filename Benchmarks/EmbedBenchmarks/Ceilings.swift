// The C loops and copies as Swift calls, with threads of their own.

internal import CReferenceLoops
internal import EmbedKernel

/// A team of C threads; of one, it is the calling thread.
@safe final class Team {
  let threads: Int
  private let team: OpaquePointer

  struct CannotStart: Error {
    var threads: Int
  }

  init(threads: Int) throws {
    guard let team = unsafe crl_team_create(threads) else { throw CannotStart(threads: threads) }
    self.threads = threads
    unsafe self.team = team
  }

  deinit { unsafe crl_team_destroy(team) }

  /// Wakes the team for nothing.
  func runEmpty() {
    unsafe crl_team_run(team, { _, _ in }, nil)
  }

  func embedStreaming(_ work: inout crl_embedding) {
    unsafe crl_embed_streaming_team(team, &work)
  }

  func gatherSorted(_ work: inout crl_backward) { unsafe crl_gather_sorted_team(team, &work) }

  func sortedAdd(_ work: inout crl_backward) { unsafe crl_sorted_add_team(team, &work) }

  /// Makes the loops prefetch in the way that is the fastest for `body`, of those that `embedkernel tune`
  /// tries for the library, until `untune`: a ceiling that is not tuned is none.
  func tune(_ body: () -> Void) {
    let ways = [(0, 0)] + [1, 2, 4, 12, 24, 32].flatMap { rows in [(rows, 0), (rows, 1)] }
    var times = [Double](repeating: .infinity, count: ways.count)
    let clock = ContinuousClock()
    // Half a minute for the largest shapes would be more than their measurement takes.
    guard clock.measure(body) < .milliseconds(20) else { return }
    for _ in 0..<7 {
      for (index, way) in ways.enumerated() {
        crl_set_prefetch(way.0, Int32(way.1))
        body()
        times[index] = min(times[index], clock.measure { for _ in 0..<3 { body() } } / .seconds(1))
      }
    }
    let best = ways[times.indices.min { times[$0] < times[$1] } ?? 0]
    crl_set_prefetch(best.0, Int32(best.1))
  }

  /// Lets each loop prefetch as it does by itself.
  func untune() { crl_set_prefetch(0, 0) }

  func indexAdd(_ work: inout crl_backward) { unsafe crl_index_add_team(team, &work) }

  func rotate(_ work: inout crl_rotation) {
    unsafe crl_rotate_team(team, threads, &work)
  }

  /// y += x
  func add(_ y: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>, _ count: Int) {
    unsafe crl_add_team(team, threads, y, x, count)
  }

  func add(_ y: UnsafeMutablePointer<UInt16>, _ x: UnsafePointer<UInt16>, _ count: Int) {
    unsafe crl_add_bf16_team(team, threads, y, x, count)
  }

  func fill(_ output: UnsafeMutablePointer<Float>, _ count: Int) {
    unsafe crl_fill_streaming_team(team, output, count)
  }

  func stepRows(_ work: inout crl_step) { unsafe crl_step_rows_team(team, &work) }

  func copy(
    _ copy: Copy, _ destination: UnsafeMutablePointer<Float>, _ source: UnsafePointer<Float>,
    _ count: Int
  ) {
    switch copy {
    case .memcpy: unsafe crl_copy_memcpy_team(team, destination, source, count)
    case .streaming: unsafe crl_copy_streaming_team(team, destination, source, count)
    }
  }
}

/// A way to copy the output: what no kernel that writes it can beat by much.
enum Copy: String, CaseIterable {
  case memcpy
  case streaming = "streaming_copy"
}

/// The speed of copying a fixture's output, sampled beside a measurement so that both see the
/// same state of the machine.
struct CopySpeed {
  let copy: Copy
  private let fixture: Fixture
  private let team: Team
  private let source: CopySource
  private var samples: [Double] = []

  init(_ fixture: Fixture, threads: Int, store: FixtureStore) throws {
    copy = fixture.workload.outputBytes >= cacheSizedBytes ? .streaming : .memcpy
    self.fixture = fixture
    team = try store.team(threads)
    source = try store.copySource(fixture.workload.outputCount)
  }

  /// Adds five samples, each of at least some 20 microseconds.
  mutating func sample() {
    let output = unsafe fixture.output.unsafeBuffer.baseAddress.unsafelyUnwrapped
    let count = min(fixture.workload.outputCount, FixtureStore.longestCopy / 4)
    let rounds = max(1, (1 << 20) / (count * 4))
    let clock = ContinuousClock()
    for _ in 0..<5 {
      let duration = clock.measure {
        for _ in 0..<rounds {
          unsafe team.copy(copy, output, source.take(count), count)
        }
      }
      samples.append(Double(2 * 4 * count * rounds) / (duration / .seconds(1)))
    }
  }

  /// Bytes read and written a second, the median of the samples.
  var bytesPerSecond: Double {
    samples.sorted()[samples.count / 2]
  }
}
