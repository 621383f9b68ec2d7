// What calls on 16-bit elements allocate once they are warm: the forward, and the conversion of its
// output.

import EmbedKernel

extension AllocationProbe {
  static func probeTyped() throws {
    for (name, place, batch, context, dim) in places {
      let tokens = try EmbeddingTable<BFloat16>(rows: 500, dim: dim)
      let positions = try EmbeddingTable<BFloat16>(rows: 128, dim: dim)
      let shape = EmbeddingShape(vocabulary: 500, batch: batch, context: context, dim: dim)
      let ids = (0..<batch * context).map { Int32($0 % 500) }
      var output = try AlignedBuffer<BFloat16>(count: ids.count * dim)
      var widened = try AlignedBuffer<Float>(count: ids.count * dim)
      try count("typed \(name)") { kernels, _ in
        var span = output.mutableSpan
        try kernels.embed(
          ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape,
          at: place, into: &span)
        var wide = widened.mutableSpan
        try kernels.convert(output.span, into: &wide)
      }
    }
  }
}
