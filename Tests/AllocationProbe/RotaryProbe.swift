// Allocations of rotating two-byte elements.

import AllocationCounter
import EmbedKernel

extension AllocationProbe {
  /// Rotates queries apart and in place, both layouts in turn, 40 calls a line.
  static func probeHalfRotary<Element: HalfPrecision>(_ type: Element.Type) throws {
    for (name, place, batch, context, width) in places {
      let dim = min(width, 64)
      let count = batch * 3 * context * dim
      let layouts = try RotaryLayout.allCases.map {
        try RotaryEmbedding(headDim: dim, rotaryDim: dim / 2, layout: $0)
      }
      let shape = RotaryShape(batch: batch, heads: 3, context: context, headDim: dim)
      let input = try AlignedBuffer<Element>(count: count)
      let output = try AlignedBuffer<Element>(count: count)
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let kernels = Kernels(backend: backend, threads: threads)
          func rotate(_ calls: Int) throws {
            for call in 0..<calls {
              let rotary = layouts[call % 2]
              try unsafe rotary.rotate(
                UnsafeBufferPointer(input.unsafeBuffer), shape: shape, at: place,
                into: output.unsafeBuffer, using: kernels)
              try unsafe rotary.rotate(
                UnsafeBufferPointer(output.unsafeBuffer), shape: shape, at: place, .backward,
                into: output.unsafeBuffer, using: kernels)
            }
          }
          try rotate(4)
          let before = allocation_count()
          try rotate(20)
          let allocations = allocation_count() - before
          print(allocations, backend.rawValue, threads, "rotary", Element.elementType, name)
        }
      }
    }
  }
}
