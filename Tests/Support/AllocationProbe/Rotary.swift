// What rotating queries allocates once it is warm, apart and in place, in floats and 16-bit
// elements.

import EmbedKernel

extension AllocationProbe {
  static func probeRotary() throws {
    try probeRotary(Float.self)
    try probeRotary(Half.self)
    try probeRotary(BFloat16.self)
  }

  private static func probeRotary<Element: TableElement>(_ type: Element.Type) throws {
    for (name, place, batch, context, width) in places {
      let dim = min(width, 64)
      let layouts = try RotaryLayout.allCases.map {
        try RotaryEmbedding(headDim: dim, rotaryDim: dim / 2, layout: $0)
      }
      let shape = RotaryShape(batch: batch, heads: 3, context: context, headDim: dim)
      let input = try AlignedBuffer<Element>(count: batch * 3 * context * dim)
      let output = try AlignedBuffer<Element>(count: batch * 3 * context * dim)
      try count("rotary \(Element.elementType) \(name)", calls: 100) { kernels, call in
        let rotary = layouts[call % 2]
        try unsafe rotary.rotate(
          UnsafeBufferPointer(input.unsafeBuffer), shape: shape, at: place,
          into: output.unsafeBuffer, using: kernels)
        try unsafe rotary.rotate(
          UnsafeBufferPointer(output.unsafeBuffer), shape: shape, at: place, .backward,
          into: output.unsafeBuffer, using: kernels)
      }
    }
  }
}
