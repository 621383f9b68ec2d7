// Biases by distance fused into an existing tile of logits, against adding a plain tensor of the
// tile's size in C, which is what a stored bias costs.
// B batch, H heads, Q queries, K keys.
//
// Names: `alibi/<backend>/f32/B1_H12_Q1024_K1024/threads:2`, `causal` where the mask is laid too,
// `c_add` for the plain tensor. `bf16` and `f16` are 16-bit logits with a table of floats, and
// their plain tensor is one of bfloat16.

internal import BenchmarkHarness
internal import CReferenceLoops
internal import EmbedKernel

struct BiasBenchmarks {
  let store: FixtureStore

  /// A training shape, tiles that fit L1 and L2, and a decoder's query against its cache.
  static let shapes = [
    AttentionShape(heads: 12, queries: 1_024, keys: 1_024),
    AttentionShape(batch: 8, heads: 12, queries: 1_024, keys: 1_024),
    AttentionShape(heads: 1, queries: 1, keys: 16),
    AttentionShape(heads: 1, queries: 64, keys: 64),
    AttentionShape(heads: 1, queries: 128, keys: 128),
    AttentionShape(heads: 1, queries: 128, keys: 512),
    AttentionShape(heads: 32, queries: 1, keys: 4_096),
  ]

  private static let backends: [(name: String, backend: Backend?)] = [
    ("openblas", .openBLAS), ("simd", .simd), ("native", .native), ("auto", nil),
  ]

  private static let schemes: [(name: String, make: @Sendable (Int) throws -> DistanceTable)] = [
    ("alibi", { try DistanceTable(ALiBi(heads: $0)) }),
    (
      "t5",
      {
        try DistanceTable(
          T5Bias(
            DistanceBuckets(direction: .bidirectional),
            weights: EmbeddingTable<Float>(rows: 32, dim: $0, .normal(sigma: 1), seed: 3)))
      }
    ),
  ]

  private func name(
    _ kind: String, _ element: ElementType, _ shape: AttentionShape, _ threads: Int
  ) -> String {
    "\(kind)/\(element.rawValue)/B\(shape.batch)_H\(shape.heads)_Q\(shape.queries)_K\(shape.keys)/threads:\(threads)"
  }

  func register(_ shape: AttentionShape, threads: Int) {
    register(Float.self, shape, threads)
    register(BFloat16.self, shape, threads)
    register(Half.self, shape, threads)
  }

  private func register<Element: TableElement>(
    _ element: Element.Type, _ shape: AttentionShape, _ threads: Int
  ) {
    for (scheme, make) in Self.schemes {
      for (name, backend) in Self.backends {
        register(
          element, scheme, name, make, shape, Kernels(backend: backend, threads: threads), threads)
      }
      registerAdd(Element.elementType, scheme, shape, threads)
    }
    let kernels = Kernels(threads: threads)
    register(
      element, "alibi", "causal", Self.schemes[0].make, shape, kernels, threads, mask: .causal)
  }

  private func register<Element: TableElement>(
    _ element: Element.Type, _ scheme: String, _ kind: String,
    _ make: @escaping @Sendable (Int) throws -> DistanceTable, _ shape: AttentionShape,
    _ kernels: Kernels, _ threads: Int, mask: AttentionMask = []
  ) {
    let count = shape.batch * shape.heads * shape.queries * shape.keys
    Benchmark.register(
      name("\(scheme)/\(kind)", Element.elementType, shape, threads),
      unit: count < 1 << 18 ? .microsecond : .millisecond
    ) { state in
      let table = try make(shape.heads)
      let logits = try AlignedBuffer<Element>(count: count)
      var buffer = unsafe logits.unsafeBuffer
      // A decoder's one query stands after its cache.
      let place = PositionIDs.sequential(offset: shape.keys - shape.queries)
      OpenBLAS.setThreads(1)
      try state.measure { () throws(EmbedError) in
        try unsafe kernels.addBias(table, to: &buffer, shape: shape, queries: place, mask: mask)
      }
      state.setBytes(perIteration: 2 * MemoryLayout<Element>.size * count)
    }
  }

  private func registerAdd(
    _ element: ElementType, _ scheme: String, _ shape: AttentionShape, _ threads: Int
  ) {
    let count = shape.batch * shape.heads * shape.queries * shape.keys
    Benchmark.register(
      name("\(scheme)/c_add", element, shape, threads),
      unit: count < 1 << 18 ? .microsecond : .millisecond
    ) { state in
      let team = try store.team(threads)
      guard element == .float32 else {
        let logits = try AlignedBuffer<UInt16>(count: count)
        let bias = try AlignedBuffer<UInt16>(count: count)
        let y = unsafe logits.unsafeBuffer.baseAddress.unsafelyUnwrapped
        let x = unsafe bias.unsafeBuffer.baseAddress.unsafelyUnwrapped
        unsafe bias.unsafeBuffer.update(repeating: BFloat16(0.001).bitPattern)
        state.measure { unsafe team.add(y, x, count) }
        return state.setBytes(perIteration: 4 * count)
      }
      let logits = try AlignedBuffer<Float>(count: count)
      let bias = try AlignedBuffer<Float>(count: count)
      let y = unsafe logits.unsafeBuffer.baseAddress.unsafelyUnwrapped
      let x = unsafe bias.unsafeBuffer.baseAddress.unsafelyUnwrapped
      unsafe bias.unsafeBuffer.update(repeating: 0.001)
      state.measure { unsafe team.add(y, x, count) }
      state.setBytes(perIteration: 8 * count)
    }
  }
}
