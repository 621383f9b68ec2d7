// The forward pass from rows of quantised formats into floats, named like that from floats:
// `forward/native/q8_0/V50257_B8_T1024_D768/threads:2`; and writing the output alone, which no pass can
// beat: `ceiling/streaming_fill/f32/...`.

internal import BenchmarkHarness
internal import EmbedKernel
internal import EmbedRows

final class RowBenchmarks {
  static let formats: [RowFormat] = [
    .int8, .fp8Row, .fbgemm8, .fbgemm4, .q8_0, .q4_0, .q4_K, .q6_K,
  ]

  private let store: FixtureStore
  private var last: (workload: Workload, table: RowTable)?

  init(store: FixtureStore) { self.store = store }

  func register(_ workload: Workload, threads: Int) {
    for format in Self.formats {
      Benchmark.register(
        "forward/native/\(format.rawValue)/\(workload.name)/threads:\(threads)", unit: .millisecond
      ) { state in
        let fixture = try self.store.fixture(workload)
        let layer = try RowEmbedding(
          tokens: try self.table(fixture, format), positions: fixture.positions)
        let kernels = Kernels(backend: .native, threads: threads)
        var output = unsafe fixture.output.unsafeBuffer
        let ids = unsafe fixture.ids
        var call = 0
        try state.measure { () throws(EmbedError) in
          try unsafe layer.forward(
            ids[call], batch: workload.batch, context: workload.context, into: &output,
            using: kernels)
          call += 1
          if unsafe call == ids.count { call = 0 }
        }
        state.setBytes(
          perIteration: workload.outputBytes + workload.tokens * layer.tokens.byteCount
            / workload.vocabulary)
        state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
      }
    }
    Benchmark.register(
      "ceiling/streaming_fill/f32/\(workload.name)/threads:\(threads)", unit: .millisecond
    ) { state in
      let fixture = try self.store.fixture(workload)
      let team = try self.store.team(threads)
      let output = unsafe fixture.output.unsafeBuffer
      state.measure { unsafe team.fill(output.baseAddress.unsafelyUnwrapped, output.count) }
      state.setBytes(perIteration: workload.outputBytes)
    }
  }

  /// The fixture's tokens in a format; the table made last is kept.
  private func table(_ fixture: Fixture, _ format: RowFormat) throws -> RowTable {
    if let last, last.workload == fixture.workload, last.table.format == format {
      return last.table
    }
    last = nil
    let table = try RowTable(quantizing: fixture.tokens, as: format)
    last = (fixture.workload, table)
    return table
  }
}
