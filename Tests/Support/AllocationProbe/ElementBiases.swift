// What attention biases on logits of two bytes, at every kind of position, and CoPE allocate once
// they are warm.

import EmbedKernel
import EmbedSchemes

extension AllocationProbe {
  static func probeTypedBiases<Element: TableElement>(_ type: Element.Type) throws {
    let name = Element.elementType.rawValue
    let shape = AttentionShape(batch: 2, heads: 3, queries: 40, keys: 70)
    let places: [(name: String, queries: PositionIDs, keys: PositionIDs)] = [
      ("a cache", .sequential(offset: 30), .sequential()),
      ("offsets", .offsets([30, 90]), .offsets([0, 60])),
      ("explicit", .explicit((0..<40).map { Int32($0 * 2) }), .sequential()),
      (
        "packed", .packed(cumulativeLengths: [0, 11, 11, 50, 80]),
        .packed(cumulativeLengths: [0, 20, 30, 90, 140])
      ),
    ]
    let table = try DistanceTable(
      T5Bias(
        DistanceBuckets(direction: .bidirectional), weights: EmbeddingTable<Float>(rows: 32, dim: 3)
      ))
    let shaw = try ShawKeys(clip: 4, table: EmbeddingTable<Float>(rows: 9, dim: 16))
    let cope = try CoPE(table: EmbeddingTable<Float>(rows: 6, dim: 16))
    var logits = try AlignedBuffer<Element>(count: 2 * 3 * 40 * 70)
    let queries = try AlignedBuffer<Element>(count: 2 * 3 * 40 * 16)
    let keys = try AlignedBuffer<Element>(count: 2 * 3 * 70 * 16)
    var gradient = [Float](repeating: 0, count: table.parameterCount)
    var workspace = try BiasWorkspace()
    for (place, queryPlace, keyPlace) in places {
      try count("bias by distance on \(name), \(place)") { kernels, _ in
        var span = logits.mutableSpan
        try kernels.addBias(
          table, to: &span, shape: shape, queries: queryPlace, keys: keyPlace, mask: .causal)
      }
    }
    try count("gradient of bias by distance from \(name)") { kernels, _ in
      let upstream = logits.span
      var span = gradient.mutableSpan
      try kernels.addBiasGradient(
        table, logitsGradient: upstream, shape: shape, workspace: &workspace, into: &span)
    }
    try count("bias by vectors on \(name)") { kernels, _ in
      let (q, k) = (queries.span, keys.span)
      var span = logits.mutableSpan
      try kernels.addBias(
        shaw, queryVectors: q, keyVectors: k, to: &span, shape: shape, workspace: &workspace)
    }
    try count("CoPE on \(name)") { kernels, _ in
      let q = queries.span
      var span = logits.mutableSpan
      try kernels.addCoPE(cope, queryVectors: q, to: &span, shape: shape, workspace: &workspace)
    }
  }
}
