// What the backward pass allocates once it is warm: with all ids different, then with few of them,
// whose sums take several runs.

import EmbedKernel

extension AllocationProbe {
  static func probeBackward() throws {
    for (name, place, batch, context, dim) in places {
      let layer = try InputEmbedding(vocabulary: 500, dim: dim, positions: .learned(maximum: 128))
      let tokens = batch * context
      let gradientOfOutput = [Float](repeating: 1, count: tokens * dim)
      var gradient = try layer.makeGradient()
      for (kind, rows) in [("different", 500), ("hot", 3)] {
        let ids = (0..<tokens).map { Int32($0 % rows) }
        for summation in Summation.allCases {
          try count("backward \(summation.rawValue) \(kind) \(name)") { kernels, _ in
            try layer.backward(
              gradientOfOutput.span, ids: ids.span, batch: batch, context: context, at: place,
              into: &gradient, summation: summation, using: kernels)
          }
        }
      }
    }
  }
}
