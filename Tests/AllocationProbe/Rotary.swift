// What rotating queries allocates once it is warm, apart and in place.

import EmbedKernel

extension AllocationProbe {
  static func probeRotary() throws {
    for (name, place, batch, context, width) in places {
      let dim = min(width, 64)
      let rotary = try RotaryEmbedding(headDim: dim, rotaryDim: dim / 2)
      let shape = RotaryShape(batch: batch, heads: 3, context: context, headDim: dim)
      let input = try AlignedBuffer<Float>(count: batch * 3 * context * dim)
      let output = try AlignedBuffer<Float>(count: batch * 3 * context * dim)
      try count("rotary \(name)", calls: 100) { kernels, _ in
        try unsafe rotary.rotate(
          UnsafeBufferPointer(input.unsafeBuffer), shape: shape, at: place,
          into: output.unsafeBuffer, using: kernels)
        try unsafe rotary.rotate(
          UnsafeBufferPointer(output.unsafeBuffer), shape: shape, at: place,
          into: output.unsafeBuffer, using: kernels)
      }
    }
  }
}
