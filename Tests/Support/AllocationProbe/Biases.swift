// What attention biases allocate once they are warm: one by distance and one by vectors, forward and
// backward.

import EmbedKernel
import EmbedSchemes

extension AllocationProbe {
  static func probeBiases() throws {
    let shape = AttentionShape(batch: 2, heads: 3, queries: 40, keys: 64)
    let places = PositionIDs.sequential(offset: 24)
    let table = try DistanceTable(
      T5Bias(DistanceBuckets(direction: .causal), weights: EmbeddingTable<Float>(rows: 32, dim: 3)))
    let shaw = try ShawKeys(clip: 8, table: EmbeddingTable<Float>(rows: 17, dim: 16))
    var logits = [Float](repeating: 0, count: 2 * 3 * 40 * 64)
    let queries = [Float](repeating: 1, count: 2 * 3 * 40 * 16)
    let keys = [Float](repeating: 1, count: 2 * 3 * 64 * 16)
    var queryGradient = queries
    var keyGradient = keys
    var tableGradient = [Float](repeating: 0, count: 32 * 3)
    var shawGradient = [Float](repeating: 0, count: 17 * 16)
    var workspace = try BiasWorkspace()
    try count("bias by distance") { kernels, _ in
      var span = logits.mutableSpan
      try kernels.addBias(table, to: &span, shape: shape, queries: places, mask: .causal)
    }
    try count("bias by vectors") { kernels, _ in
      var span = logits.mutableSpan
      try kernels.addBias(
        shaw, queryVectors: queries.span, keyVectors: keys.span, to: &span, shape: shape,
        queries: places, mask: .causal)
    }
    try count("gradient of bias by distance") { kernels, _ in
      var span = tableGradient.mutableSpan
      try kernels.addBiasGradient(
        table, logitsGradient: logits.span, shape: shape, queries: places, mask: .causal,
        workspace: &workspace, into: &span)
    }
    try count("gradient of bias by vectors") { kernels, _ in
      var span = shawGradient.mutableSpan
      var ofQueries = queryGradient.mutableSpan
      var ofKeys = keyGradient.mutableSpan
      try kernels.addBiasGradient(
        shaw, logitsGradient: logits.span, queryVectors: queries.span, keyVectors: keys.span,
        shape: shape, queries: places, mask: .causal, workspace: &workspace, into: &span,
        queryGradient: &ofQueries, keyGradient: &ofKeys)
    }
    try probeTypedBiases(Float.self)
    try probeTypedBiases(BFloat16.self)
    try probeTypedBiases(Half.self)
  }
}
