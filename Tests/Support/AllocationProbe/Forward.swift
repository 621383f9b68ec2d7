// What the forward pass allocates once it is warm, by kind of positions.

import EmbedKernel

extension AllocationProbe {
  static func probeForward() throws {
    for (name, place, batch, context, dim) in places {
      let layer = try InputEmbedding(vocabulary: 500, dim: dim, positions: .learned(maximum: 128))
      let ids = (0..<batch * context).map { Int32($0 % 500) }
      var output = try layer.makeOutput(batch: batch, context: context)
      try count("forward \(name)", calls: 1_000) { kernels, _ in
        try layer.forward(
          ids, batch: batch, context: context, at: place, into: &output, using: kernels)
      }
    }
  }
}
