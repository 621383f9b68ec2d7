// The forward pass on 16-bit tables into a 16-bit output, named like the fp32 ones:
// `forward/native/bf16/V50257_B8_T1024_D768/threads:2`. The bytes reported are half of theirs. Also
// the conversion of an output's worth of floats: `convert/native/bf16/...`.

internal import BenchmarkHarness
internal import EmbedKernel

struct SixteenBitBenchmarks {
  let store: SixteenBitStore

  init(_ store: FixtureStore) { self.store = SixteenBitStore(store) }

  func register(_ workload: Workload, threads: Int) {
    register(BFloat16.self, workload, threads)
    register(Half.self, workload, threads)
  }

  private func register<Element: SixteenBitElement>(
    _ type: Element.Type, _ workload: Workload, _ threads: Int
  ) {
    let backends: [(String, Backend)] = [
      ("openblas", .openBLAS), ("simd", .simd), ("native", .native),
    ]
    let name = "\(Element.elementType.rawValue)/\(workload.name)/threads:\(threads)"
    for (backendName, backend) in backends {
      let kernels = Kernels(backend: backend, threads: threads)
      Benchmark.register(
        "forward/\(backendName)/\(name)",
        unit: workload.outputBytes < 1 << 20 ? .microsecond : .millisecond
      ) { state in
        let fixture = try store.floats.fixture(workload)
        let half = try store.tables(fixture, Element.self)
        let tokens = unsafe UnsafeBufferPointer(half.tokens.unsafeBuffer)
        let positions = unsafe UnsafeBufferPointer(half.positions.unsafeBuffer)
        var output = unsafe half.output.unsafeBuffer
        let shape = EmbeddingShape(
          vocabulary: workload.vocabulary, batch: workload.batch, context: workload.context,
          dim: workload.dim)
        let ids = unsafe fixture.ids
        OpenBLAS.setThreads(1)
        var call = 0
        try state.measure { () throws(EmbedError) in
          try unsafe kernels.embed(
            ids: ids[call], tokens: tokens, positions: positions, shape: shape, into: &output)
          call += 1
          if unsafe call == ids.count { call = 0 }
        }
        state.setBytes(perIteration: workload.compulsoryBytes / 2)
        state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
      }
    }
    Benchmark.register(
      "convert/native/\(name)",
      unit: workload.outputBytes < 1 << 20 ? .microsecond : .millisecond
    ) { state in
      let fixture = try store.floats.fixture(workload)
      let half = try store.tables(fixture, Element.self)
      let floats = unsafe Span(_unsafeElements: UnsafeBufferPointer(fixture.output.unsafeBuffer))
      var rounded = unsafe MutableSpan(_unsafeElements: half.output.unsafeBuffer)
      let kernels = Kernels(backend: .native, threads: threads)
      try state.measure { () throws(EmbedError) in try kernels.convert(floats, into: &rounded) }
      state.setBytes(perIteration: workload.outputBytes * 3 / 2)
    }
  }
}

/// A fixture's tables in two bytes, and an output.
final class SixteenBitFixture<Element: SixteenBitElement> {
  let tokens: EmbeddingTable<Element>
  let positions: EmbeddingTable<Element>
  let output: AlignedBuffer<Element>

  init(_ fixture: Fixture) throws {
    tokens = try EmbeddingTable(rounding: fixture.tokens)
    positions = try EmbeddingTable(rounding: fixture.positions)
    output = try AlignedBuffer(count: fixture.workload.outputCount)
  }
}

/// The fixture made last of each type, which the benchmarks of a workload share.
final class SixteenBitStore {
  let floats: FixtureStore
  private var last: [ElementType: (workload: Workload, fixture: AnyObject)] = [:]

  init(_ floats: FixtureStore) { self.floats = floats }

  func tables<Element: SixteenBitElement>(
    _ fixture: Fixture, _ type: Element.Type
  ) throws -> SixteenBitFixture<Element> {
    if let (workload, made) = last[Element.elementType], workload == fixture.workload,
      let made = made as? SixteenBitFixture<Element>
    {
      return made
    }
    last[Element.elementType] = nil
    let made = try SixteenBitFixture<Element>(fixture)
    last[Element.elementType] = (fixture.workload, made)
    return made
  }
}
