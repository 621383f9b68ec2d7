// What a call must not do: allocate, change OpenBLAS's threads, or disturb another call.

import AllocationCounter
import COpenBLAS
import EmbedKernel
import Synchronization
import Testing

@Suite(.serialized) struct SteadyStateTests {
  static let calls: [(shape: EmbeddingShape, place: PositionIDs)] = [
    (EmbeddingShape(vocabulary: 500, batch: 8, context: 4, dim: 256), .sequential(offset: 3)),
    (EmbeddingShape(vocabulary: 500, batch: 4, context: 64, dim: 300), .sequential()),
    (
      EmbeddingShape(vocabulary: 500, batch: 2, context: 8, dim: 64),
      .packed(cumulativeLengths: [0, 3, 4, 16])
    ),
    (
      EmbeddingShape(vocabulary: 500, batch: 2, context: 4, dim: 64),
      .mask([0, 1, 1, 1, 1, 1, 1, 1])
    ),
    (EmbeddingShape(vocabulary: 500, batch: 2, context: 4, dim: 64), .offsets([7, 9])),
    (EmbeddingShape(vocabulary: 500, batch: 2, context: 4, dim: 64), .explicit([3, 1, 2, 0])),
  ]

  @Test(arguments: [1, 2])
  func aCallAllocatesNothing(threads: Int) throws {
    try #require(allocations_are_counted() == 1, "allocations are counted with glibc only")
    for (shape, place) in Self.calls {
      let layer = try InputEmbedding(
        vocabulary: shape.vocabulary, dim: shape.dim, positions: .learned(maximum: 128))
      let ids = (0..<shape.batch * shape.context).map { Int32($0 % shape.vocabulary) }
      let output = try layer.makeOutput(batch: shape.batch, context: shape.context)
      let buffer = unsafe output.unsafeBuffer
      for backend in Backend.allCases {
        let kernels = Kernels(backend: backend, threads: threads)
        func call(_ times: Int) throws {
          try unsafe ids.withUnsafeBufferPointer { ids in
            for _ in 0..<times {
              try unsafe layer.forward(
                ids, batch: shape.batch, context: shape.context, at: place, into: buffer,
                using: kernels)
            }
          }
        }
        try call(100)  // threads start, caches of the system fill
        // Other tests allocate at the same time: the least of several rounds is what a call does.
        let least = try (0..<20).map { _ in
          let before = allocation_count()
          try call(50)
          return allocation_count() - before
        }.min()
        #expect(least == 0, "\(backend), threads \(threads), \(shape)")
      }
    }
  }

  @Test func openBLASKeepsItsThreads() throws {
    let found = openblas_get_num_threads()
    defer { openblas_set_num_threads(found) }
    for count in [1, 2] as [Int32] {
      openblas_set_num_threads(count)
      for threads in [1, 2, 5] {
        let layer = try InputEmbedding(vocabulary: 50, dim: 64, positions: .learned(maximum: 512))
        var output = try layer.makeOutput(batch: 2, context: 512)
        try layer.forward(
          (0..<1_024).map { Int32($0 % 50) }, batch: 2, context: 512, into: &output,
          using: .openBLAS.threads(threads))
        #expect(openblas_get_num_threads() == count)
      }
    }
  }

  @Test func manyThreadsMayCallAtOnce() async throws {
    let layer = try InputEmbedding(
      vocabulary: 1_000, dim: 96, positions: .learned(maximum: 64), seed: 4)
    var reference = try layer.makeOutput(batch: 3, context: 64)
    let ids = (0..<192).map { Int32(($0 * 37) % 1_000) }
    try layer.forward(ids, batch: 3, context: 64, into: &reference)
    let expected = unsafe Array(reference.unsafeBuffer)
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<8 {
        group.addTask {
          var wrong = 0
          var output = try layer.makeOutput(batch: 3, context: 64)
          for round in 0..<50 {
            let backend = Backend.allCases[(task + round) % Backend.allCases.count]
            try layer.forward(
              ids, batch: 3, context: 64, into: &output,
              using: Kernels(backend: backend, threads: 1 + round % 3))
            if unsafe Array(output.unsafeBuffer) != expected { wrong += 1 }
          }
          return wrong
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
