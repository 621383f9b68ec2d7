// A process of its own, where nothing else allocates, that counts what a call allocates once it is
// warm. Prints a line for each backend, thread count and kind of positions, forward and backward:
//
//   allocations in some hundred calls, backend, threads, positions

import AllocationCounter
import EmbedKernel

@main enum AllocationProbe {
  static let places: [(name: String, place: PositionIDs, batch: Int, context: Int, dim: Int)] = [
    ("sequential", .sequential(offset: 3), 8, 4, 256),
    ("large", .sequential(), 4, 64, 1_024),
    ("packed", .packed(cumulativeLengths: [0, 3, 4, 16]), 2, 8, 64),
    ("mask", .mask([0, 1, 1, 1, 1, 1, 1, 1]), 2, 4, 64),
    ("offsets", .offsets([7, 9]), 2, 4, 64),
    ("explicit", .explicit([3, 1, 2, 0]), 2, 4, 64),
  ]

  static func main() throws {
    guard allocations_are_counted() == 1 else { return print("not counted on this platform") }
    try probeRotary()
    for (name, place, batch, context, dim) in places {
      let layer = try InputEmbedding(vocabulary: 500, dim: dim, positions: .learned(maximum: 128))
      let ids = (0..<batch * context).map { Int32($0 % 500) }
      var output = try layer.makeOutput(batch: batch, context: context)
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let kernels = Kernels(backend: backend, threads: threads)
          // The first calls start threads and read the environment.
          for _ in 0..<100 {
            try layer.forward(
              ids, batch: batch, context: context, at: place, into: &output, using: kernels)
          }
          let before = allocation_count()
          for _ in 0..<1_000 {
            try layer.forward(
              ids, batch: batch, context: context, at: place, into: &output, using: kernels)
          }
          let allocations = allocation_count() - before
          print(allocations, backend.rawValue, threads, name)
          try countBackward(layer, place, batch, context, kernels, name)
        }
      }
    }
    try probeFusedLayer()
  }

  /// The fused layer with all its parts, forward and backward to the tables.
  static func probeFusedLayer() throws {
    for (name, place, batch, context, dim) in places {
      let layer = try FusedInputEmbedding(
        InputEmbedding(vocabulary: 500, dim: dim, positions: .learned(maximum: 128)),
        segments: EmbeddingTable(rows: 2, dim: dim), normalization: .layer(dim: dim),
        dropout: Dropout(rate: 0.1, seed: 1))
      let ids = (0..<batch * context).map { Int32($0 % 500) }
      let segmentIDs = ids.map { $0 % 2 }
      var output = try layer.makeOutput(batch: batch, context: context)
      var gradient = try FusedEmbeddingGradient(for: layer)
      var tables = try layer.makeTableGradient()
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let kernels = Kernels(backend: backend, threads: threads)
          func call(_ step: Int) throws(EmbedError) {
            try layer.forward(
              ids, segmentIDs: segmentIDs, batch: batch, context: context, at: place,
              trainingStep: UInt64(step), into: &output, using: kernels)
            try layer.backward(
              output.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: batch,
              context: context, at: place, trainingStep: UInt64(step), into: &gradient,
              tables: &tables, using: kernels)
          }
          for step in 0..<20 { try call(step) }
          let before = allocation_count()
          for step in 0..<100 { try call(step) }
          let allocations = allocation_count() - before
          print(allocations, backend.rawValue, threads, "fused", name)
        }
      }
    }
    try probeHalfPrecision()
    try probeSteps()
  }

  /// Rotates queries apart and in place, 200 calls a line, otherwise as above.
  static func probeRotary() throws {
    for (name, place, batch, context, width) in places {
      let dim = min(width, 64)
      let rotary = try RotaryEmbedding(headDim: dim, rotaryDim: dim / 2)
      let shape = RotaryShape(batch: batch, heads: 3, context: context, headDim: dim)
      let input = try AlignedBuffer<Float>(count: batch * 3 * context * dim)
      let output = try AlignedBuffer<Float>(count: batch * 3 * context * dim)
      for backend in Backend.allCases {
        for threads in [1, 2] {
          let kernels = Kernels(backend: backend, threads: threads)
          func rotate(_ calls: Int) throws {
            for _ in 0..<calls {
              try unsafe rotary.rotate(
                UnsafeBufferPointer(input.unsafeBuffer), shape: shape, at: place,
                into: output.unsafeBuffer, using: kernels)
              try unsafe rotary.rotate(
                UnsafeBufferPointer(output.unsafeBuffer), shape: shape, at: place,
                into: output.unsafeBuffer, using: kernels)
            }
          }
          try rotate(20)
          let before = allocation_count()
          try rotate(100)
          let allocations = allocation_count() - before
          print(allocations, backend.rawValue, threads, "rotary \(name)")
        }
      }
    }
  }

  /// Backward with all ids different, then with few of them, whose sums take several runs.
  static func countBackward(
    _ layer: InputEmbedding, _ place: PositionIDs, _ batch: Int, _ context: Int, _ kernels: Kernels,
    _ name: String
  ) throws {
    let tokens = batch * context
    let gradientOfOutput = [Float](repeating: 1, count: tokens * layer.tokens.dim)
    var gradient = try layer.makeGradient()
    for (kind, ids) in [
      ("different", (0..<tokens).map { Int32($0 % 500) }),
      ("hot", (0..<tokens).map { Int32($0 % 3) }),
    ] {
      for summation in Summation.allCases {
        var before: Int = 0
        for call in 0..<600 {
          if call == 100 { before = Int(allocation_count()) }
          try layer.backward(
            gradientOfOutput.span, ids: ids.span, batch: batch, context: context, at: place,
            into: &gradient, summation: summation, using: kernels)
        }
        // Apart from the print, whose arguments are allocated first.
        let allocations = Int(allocation_count()) - before
        print(
          allocations, kernels.backend?.rawValue ?? "auto", kernels.threads ?? 0, "backward",
          summation.rawValue, kind, name)
      }
    }
  }
}
