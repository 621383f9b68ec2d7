// A process of its own, where nothing else allocates, that counts what a call allocates once it is
// warm: a file a family of calls. Prints a line for each call, backend and number of threads, and
// `end` where it came to the end:
//
//   allocations, backend, threads, call

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
    try probeForward()
    try probeBackward()
    try probeBags()
    try probeFusedLayer()
    try probeTyped()
    try probeRows()
    try probeSteps()
    try probeRotary()
    try probeBiases()
    try probeTraining()
    print("end")
  }

  /// Prints a line for `name` on each backend, on one thread and two.
  ///
  /// - Parameter body: One call. The first ones start threads and read the environment.
  static func count(
    _ name: String, calls: Int = 200, _ body: (_ kernels: Kernels, _ call: Int) throws -> Void
  ) throws {
    for backend in Backend.allCases {
      for threads in [1, 2] {
        let kernels = Kernels(backend: backend, threads: threads)
        try count(name, backend.rawValue, threads: threads, calls: calls) { try body(kernels, $0) }
      }
    }
  }

  /// Prints a line for `name`.
  static func count(
    _ name: String, _ backend: String, threads: Int, calls: Int,
    _ body: (_ call: Int) throws -> Void
  ) throws {
    // Unoptimised code allocates anyway: there it is enough that the calls run.
    #if DEBUG
      let (warm, calls) = (1, 1)
    #else
      let warm = 50
    #endif
    for call in 0..<warm { try body(call) }
    let before = allocation_count()
    for call in 0..<calls { try body(warm + call) }
    // Counted first: printing allocates the list of what it prints.
    let allocations = allocation_count() - before
    print(allocations, backend, threads, name)
  }
}
