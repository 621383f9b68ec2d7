// What calls on two-byte elements allocate once they are warm: the forward, and the conversion of its
// output.

import AllocationCounter
import EmbedKernel

extension AllocationProbe {
  /// Prints a line for each kind of positions, backend and thread count.
  static func probeHalfPrecision() throws {
    for (name, place, batch, context, dim) in places {
      let tokens = try HalfPrecisionTable<BFloat16>(rows: 500, dim: dim)
      let positions = try HalfPrecisionTable<BFloat16>(rows: 128, dim: dim)
      let shape = EmbeddingShape(vocabulary: 500, batch: batch, context: context, dim: dim)
      let ids = (0..<batch * context).map { Int32($0 % 500) }
      var output = try AlignedBuffer<BFloat16>(count: ids.count * dim)
      var widened = try AlignedBuffer<Float>(count: ids.count * dim)
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let kernels = Kernels(backend: backend, threads: threads)
          func call() throws(EmbedError) {
            var span = output.mutableSpan
            try kernels.embed(
              ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape,
              at: place, into: &span)
            var wide = widened.mutableSpan
            try kernels.convert(output.span, into: &wide)
          }
          for _ in 0..<20 { try call() }
          let before = allocation_count()
          for _ in 0..<100 { try call() }
          let allocations = allocation_count() - before
          print(allocations, backend.rawValue, threads, "bf16", name)
        }
      }
    }
  }
}
