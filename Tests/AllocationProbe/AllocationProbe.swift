// A process of its own, where nothing else allocates, that counts what a call allocates once it is
// warm. Prints a line for each backend, thread count and kind of positions:
//
//   allocations in 1000 calls, backend, threads, positions

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
        }
      }
    }
    try probeSteps()
  }
}
