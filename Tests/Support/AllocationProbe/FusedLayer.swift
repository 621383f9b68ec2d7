// What the fused layer with all its parts allocates once it is warm, forward and backward to the
// tables.

import EmbedKernel

extension AllocationProbe {
  static func probeFusedLayer() throws {
    for (name, place, batch, context, dim) in places {
      let layer = try FusedInputEmbedding(
        InputEmbedding(vocabulary: 500, dim: dim, positions: .learned(maximum: 128)),
        segments: EmbeddingTable<Float>(rows: 2, dim: dim), normalization: .layer(dim: dim),
        dropout: Dropout(rate: 0.1, seed: 1))
      let ids = (0..<batch * context).map { Int32($0 % 500) }
      let segmentIDs = ids.map { $0 % 2 }
      var output = try layer.makeOutput(batch: batch, context: context)
      var gradient = try FusedEmbeddingGradient(for: layer)
      var tables = try layer.makeTableGradient()
      try count("fused \(name)", calls: 100) { kernels, call in
        try layer.forward(
          ids, segmentIDs: segmentIDs, batch: batch, context: context, at: place,
          trainingStep: UInt64(call), into: &output, using: kernels)
        try layer.backward(
          output.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: batch, context: context,
          at: place, trainingStep: UInt64(call), into: &gradient, tables: &tables,
          using: kernels)
      }
    }
  }
}
