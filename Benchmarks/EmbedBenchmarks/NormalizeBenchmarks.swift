// The fused layer, forward and backward, over the memory and ids of the plain forward, so that one
// interleaved run gives its ratios to it: `forward/native`, `layernorm/native` and so on.
//
//   layernorm/<backend>            token + position + layer normalisation
//   layernorm/<backend>_segments   and two segments
//   layernorm/<backend>_dropout    and dropout of a tenth
//   layernorm/<backend>_rms        root mean square normalisation instead
//   layernorm/<backend>_backward   d(x), d(gamma) and d(beta)
//   layernorm/<backend>_tables     and on to row-sparse gradients of the token and position tables

internal import BenchmarkHarness
internal import EmbedKernel

struct NormalizeBenchmarks {
  let store: FixtureStore

  /// What of the layer is measured.
  private enum Part: String, CaseIterable {
    case plain = ""
    case segments = "_segments"
    case dropout = "_dropout"
    case rms = "_rms"
    case backward = "_backward"
    case tables = "_tables"
  }

  private static let backends: [(name: String, backend: Backend?)] = [
    ("openblas", .openBLAS), ("simd", .simd), ("native", .native), ("auto", nil),
  ]

  func register(_ workload: Workload, threads: Int) {
    for (name, backend) in Self.backends {
      for part in Part.allCases {
        register(
          "layernorm/\(name)\(part.rawValue)/f32/\(workload.name)/threads:\(threads)", workload,
          part, threads, Kernels(backend: backend, threads: threads))
      }
    }
  }

  private func register(
    _ name: String, _ workload: Workload, _ part: Part, _ threads: Int, _ kernels: Kernels
  ) {
    let unit = workload.outputBytes < 1 << 20 ? BenchmarkUnit.microsecond : .millisecond
    Benchmark.register(name, unit: unit) { state in
      let fixture = try store.fixture(workload)
      OpenBLAS.setThreads(threads)
      let layer = try makeLayer(fixture, part)
      let (batch, context) = (workload.batch, workload.context)
      var output = unsafe fixture.output.unsafeBuffer
      let ids = unsafe fixture.ids
      let segmentIDs = try AlignedBuffer<Int32>(count: workload.tokens)
      for i in 0..<segmentIDs.count { unsafe segmentIDs.unsafeBuffer[i] = Int32(i / 5 % 2) }
      let segments =
        unsafe part == .segments ? UnsafeBufferPointer(segmentIDs.unsafeBuffer) : nil
      defer { if kernels.backend == .openBLAS { OpenBLAS.settle() } }
      var call = 0
      if part == .backward || part == .tables {
        let gradient = try store.copySource(workload.outputCount)
        var result = try FusedEmbeddingGradient(for: layer, capacity: workload.tokens)
        var tables = try layer.makeTableGradient(capacity: part == .tables ? workload.tokens : 0)
        try state.measure { () throws(EmbedError) in
          let outputGradient = unsafe UnsafeBufferPointer(
            start: gradient.take(workload.outputCount), count: workload.outputCount)
          if part == .tables {
            try unsafe layer.backward(
              outputGradient, ids: ids[call], batch: batch, context: context, into: &result,
              tables: &tables, using: kernels)
          } else {
            try unsafe layer.backward(
              outputGradient, ids: ids[call], batch: batch, context: context, into: &result,
              using: kernels)
          }
          call += 1
          if unsafe call == ids.count { call = 0 }
        }
        state.setBytes(perIteration: workload.compulsoryBytes + workload.outputBytes)
      } else {
        try state.measure { () throws(EmbedError) in
          try unsafe layer.forward(
            ids[call], segmentIDs: segments, batch: batch, context: context,
            trainingStep: UInt64(call), into: &output, using: kernels)
          call += 1
          if unsafe call == ids.count { call = 0 }
        }
        state.setBytes(perIteration: workload.compulsoryBytes)
      }
      state.setCounter("time_per_token", Double(workload.tokens), as: .secondsPer)
    }
  }

  private func makeLayer(_ fixture: Fixture, _ part: Part) throws -> FusedInputEmbedding<Float> {
    let dim = fixture.workload.dim
    return try FusedInputEmbedding(
      InputEmbedding(tokens: TokenEmbedding(table: fixture.tokens), positions: fixture.positions),
      segments: part == .segments
        ? EmbeddingTable<Float>(rows: 2, dim: dim, .uniform(low: -1, high: 1), seed: 3) : nil,
      normalization: part == .rms ? .rootMeanSquare(dim: dim) : .layer(dim: dim),
      dropout: part == .dropout ? Dropout(rate: 0.1, seed: 4) : nil)
  }
}
