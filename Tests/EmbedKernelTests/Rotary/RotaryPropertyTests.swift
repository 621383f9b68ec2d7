// What must hold for any rotation: the definition over random shapes, the same bits from every
// backend, products by distance alone, kept norms, and exactness far out.

import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct RotaryPropertyTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var batch = 2, heads = 3, context = 5, headDim = 64
    var rotaryDim: Int?
    var place = PositionIDs.sequential()
    var positions: [Int]?
    var name = ""
    var testDescription: String { "\(name) \(batch) \(heads) \(context) \(headDim)" }
  }

  static let cases: [Case] = [
    Case(), Case(batch: 1, heads: 1, context: 1, headDim: 2), Case(context: 1, headDim: 80),
    Case(heads: 8, context: 7, headDim: 96, rotaryDim: 24, name: "partial"),
    Case(headDim: 34, rotaryDim: 30), Case(headDim: 256), Case(batch: 0), Case(heads: 0),
    Case(headDim: 1_200, name: "wide"), Case(batch: 3, heads: 2, context: 40, headDim: 32),
    Case(
      place: .sequential(offset: 1_000_000), positions: (0..<10).map { 1_000_000 + $0 % 5 },
      name: "far"),
    Case(
      place: .offsets([3, 4_000]), positions: [3, 4, 5, 6, 7, 4_000, 4_001, 4_002, 4_003, 4_004],
      name: "offsets"),
    Case(
      place: .explicit([9, 0, 2_147_483_647, 9, 1]),
      positions: [9, 0, 2_147_483_647, 9, 1, 9, 0, 2_147_483_647, 9, 1], name: "explicit"),
    Case(
      place: .packed(cumulativeLengths: [0, 1, 1, 7, 10]),
      positions: [0, 0, 1, 2, 3, 4, 5, 0, 1, 2], name: "packed"),
    Case(
      place: .mask([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]), positions: [0, 0, 0, 1, 2, 0, 1, 2, 3, 4],
      name: "mask"),
  ]

  @Test(arguments: cases.inDebug(every: 3), RotaryLayout.allCases)
  func isTheDefinition(_ c: Case, _ layout: RotaryLayout) throws {
    for order in HeadOrder.allCases {
      let shape = RotaryShape(
        batch: c.batch, heads: c.heads, context: c.context, headDim: c.headDim, order: order)
      let x = drawn(c.batch * c.heads * c.context * c.headDim, seed: 5)
      let positions = c.positions ?? (0..<c.batch * c.context).map { $0 % max(c.context, 1) }
      // Little room for tables: the far positions' rows are computed on the way.
      let embedding = try RotaryEmbedding(
        headDim: c.headDim, rotaryDim: c.rotaryDim, layout: layout, tableBytes: 1 << 20)
      for direction in RotaryDirection.allCases {
        let expected = try reference(x, shape, embedding, positions: positions, direction)
        var bits: [UInt32]?
        for kernels in exactWays {
          let apart = try embedding.rotated(x, shape, at: c.place, direction, using: kernels)
          let inPlace = try embedding.rotatedInPlace(
            x, shape, at: c.place, direction, using: kernels)
          #expect(relativeError(apart, expected) < 3e-7, "\(kernels)")
          #expect(apart.map(\.bitPattern) == inPlace.map(\.bitPattern), "\(kernels)")
          #expect(bits == nil || bits == apart.map(\.bitPattern), "\(kernels)")
          bits = apart.map(\.bitPattern)
        }
        let blas = try embedding.rotated(x, shape, at: c.place, direction, using: .openBLAS)
        #expect(relativeError(blas, expected) < 3e-7)
      }
    }
  }

  /// Large enough for streaming stores, and every misalignment of the caller's memory.
  @Test(arguments: RotaryLayout.allCases) func largeAndUnaligned(_ layout: RotaryLayout) throws {
    let shape = RotaryShape(batch: 2, heads: 4, context: 4_200, headDim: 64)
    let count = 2 * 4 * 4_200 * 64
    let embedding = try RotaryEmbedding(headDim: 64, layout: layout)
    let input = try AlignedBuffer<Float>(count: count + 16)
    let output = try AlignedBuffer<Float>(count: count + 16)
    let expected = try AlignedBuffer<Float>(count: count)
    let pattern = drawn(4_099, seed: 9)
    for (from, to) in [(0, 0), (0, 1), (3, 0), (5, 7)] {
      let x = unsafe UnsafeMutableBufferPointer(
        rebasing: input.unsafeBuffer[from..<from + count])
      let y = unsafe UnsafeMutableBufferPointer(rebasing: output.unsafeBuffer[to..<to + count])
      unsafe fill(x, repeating: pattern)
      if from == 0, to == 0 {
        try unsafe embedding.rotate(
          UnsafeBufferPointer(x), shape: shape, into: expected.unsafeBuffer, using: .simd)
      }
      for set in InstructionSet.allCases where set.isAvailable {
        unsafe y.update(repeating: .nan)
        try unsafe embedding.rotate(
          UnsafeBufferPointer(x), shape: shape, into: y,
          using: Kernels(backend: .native, threads: 2, instructionSet: set))
        #expect(unsafe haveSameBytes(y, expected.unsafeBuffer), "\(set), offsets \(from), \(to)")
      }
    }
  }

  /// Blocks of a head that begin between lines of the cache, in a tensor that is streamed.
  @Test func largeWithUnalignedBlocks() throws {
    let embedding = try RotaryEmbedding(
      headDim: 80, layout: .interleaved, axes: .axialBlocks(count: 2))
    let shape = RotaryShape(batch: 1, heads: 8, context: 4_200, headDim: 80)
    let count = 8 * 4_200 * 80
    let input = try AlignedBuffer<Float>(count: count)
    let output = try AlignedBuffer<Float>(count: count)
    let expected = try AlignedBuffer<Float>(count: count)
    unsafe fill(input.unsafeBuffer, repeating: drawn(4_099, seed: 9))
    try unsafe embedding.rotate(
      UnsafeBufferPointer(input.unsafeBuffer), shape: shape, into: expected.unsafeBuffer,
      using: Kernels(backend: .native, threads: 1, instructionSet: .plain))
    for set in InstructionSet.allCases where set.isAvailable {
      try unsafe embedding.rotate(
        UnsafeBufferPointer(input.unsafeBuffer), shape: shape, into: output.unsafeBuffer,
        using: Kernels(backend: .native, threads: 2, instructionSet: set))
      #expect(unsafe haveSameBytes(output.unsafeBuffer, expected.unsafeBuffer), "\(set)")
    }
  }

  @Test(arguments: RotaryLayout.allCases)
  func productsDependOnTheDistanceAlone(_ layout: RotaryLayout) throws {
    let embedding = try RotaryEmbedding(headDim: 64, layout: layout)
    let shape = RotaryShape(batch: 1, heads: 1, context: 1, headDim: 64)
    let (q, k) = (drawn(64, seed: 1), drawn(64, seed: 2))
    func product(_ i: Int, _ j: Int) throws -> Double {
      let a = try embedding.rotated(q, shape, at: .sequential(offset: i))
      let b = try embedding.rotated(k, shape, at: .sequential(offset: j))
      return zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    for distance in [0, 1, 17, 1_000] {
      let near = try product(distance, 0)
      for shift in [1, 100_000, 99, 1_000_000].inDebug(every: 2) {
        #expect(abs(try product(distance + shift, shift) - near) < 2e-5, "\(distance), \(shift)")
      }
    }
    #expect(abs(try product(5, 0) - product(0, 5)) > 1e-3, "direction must count")
  }

  @Test func normsAreKeptAndBackwardUndoes() throws {
    let embedding = try RotaryEmbedding(headDim: 128)
    let shape = RotaryShape(batch: 1, heads: 2, context: 50, headDim: 128)
    let x = drawn(2 * 50 * 128, seed: 3)
    let place = PositionIDs.sequential(offset: 77_777)
    let y = try embedding.rotated(x, shape, at: place)
    for row in 0..<100 {
      func norm(_ v: [Float]) -> Double {
        v[row * 128..<(row + 1) * 128].reduce(0) { $0 + Double($1) * Double($1) }
      }
      #expect(abs(norm(y) / norm(x) - 1) < 1e-6)
    }
    let back = try embedding.rotated(y, shape, at: place, .backward)
    #expect(relativeError(back, x.map { Double($0) }) < 3e-7)
  }

  /// A window further on is the window itself further on: no state is left between calls.
  @Test func shiftingAWindowChangesNothing() throws {
    let embedding = try RotaryEmbedding(headDim: 32)
    let x = drawn(20 * 32, seed: 4)
    let all = try embedding.rotated(
      x, RotaryShape(batch: 1, heads: 1, context: 20, headDim: 32))
    for start in [1, 7, 19] {
      let part = try embedding.rotated(
        Array(x[(start * 32)...]),
        RotaryShape(batch: 1, heads: 1, context: 20 - start, headDim: 32),
        at: .sequential(offset: start))
      #expect(part == Array(all[(start * 32)...]))
    }
  }

  /// Cosines and sines at a million are within one rounding of those of exact angles.
  @Test func farPositionsAreExact() throws {
    let embedding = try RotaryEmbedding(headDim: 64)
    let radians = try embedding.frequencies().radians
    let shape = RotaryShape(batch: 1, heads: 1, context: 1, headDim: 64)
    let x = (0..<64).map { Float($0 < 32 ? 1 : 0) }
    for position in [1, 131_071, 1_000_000] {
      let y = try embedding.rotated(x, shape, at: .sequential(offset: position))
      for pair in 0..<32 {
        let angle = Double(position) * radians[pair]
        for (actual, exact) in [(y[pair], cos(angle)), (y[32 + pair], sin(angle))] {
          #expect(abs(Double(actual) - exact) <= Double(Float(exact).ulp) / 2 + 3e-10)
        }
      }
    }
  }

  @Test(arguments: HeadOrder.allCases) func groupedQueries(_ order: HeadOrder) throws {
    let embedding = try RotaryEmbedding(headDim: 32)
    let shape = RotaryShape(batch: 2, heads: 8, context: 3, headDim: 32, order: order)
    let keyShape = RotaryShape(batch: 2, heads: 2, context: 3, headDim: 32, order: order)
    let (q, k) = (drawn(2 * 8 * 3 * 32, seed: 1), drawn(2 * 2 * 3 * 32, seed: 2))
    var (rotatedQ, rotatedK) = (q, k)
    var qSpan = rotatedQ.mutableSpan
    var kSpan = rotatedK.mutableSpan
    try embedding.rotate(queries: &qSpan, keys: &kSpan, shape: shape, keyHeads: 2)
    #expect(rotatedQ == (try embedding.rotated(q, shape)))
    #expect(rotatedK == (try embedding.rotated(k, keyShape)))
  }

  /// Layers on many threads share one embedding whose tables grow, the trained one and the extended
  /// one, while others read them.
  @Test func manyThreadsGrowAndRead() async throws {
    let scaling = try LongRoPEScaling(
      shortFactors: [Double](repeating: 1, count: 8),
      longFactors: [Double](repeating: 2, count: 8), trainedLength: 1_000, factor: 4)
    let embedding = try RotaryEmbedding(headDim: 16, scaling: scaling)
    let exact = try RotaryEmbedding(headDim: 16, scaling: scaling, tableBytes: 0)
    let wrong = try await withThrowingTaskGroup(of: Int.self) { group in
      for task in 0..<8 {
        group.addTask {
          var wrong = 0
          for round in 0..<40 {
            let context = 1 + (task * 37 + round * 211) % 3_000
            let shape = RotaryShape(batch: 1, heads: 1, context: context, headDim: 16)
            let x = drawn(context * 16, seed: UInt64(round))
            if try embedding.rotated(x, shape) != exact.rotated(x, shape) { wrong += 1 }
          }
          return wrong
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }

  /// A model that turns by the negative angle: forward is the other's backward.
  @Test func theOtherWay() throws {
    let shape = RotaryShape(batch: 1, heads: 2, context: 5, headDim: 8)
    let x = drawn(80, seed: 4)
    let (usual, other) = (
      try RotaryEmbedding(headDim: 8), try RotaryEmbedding(headDim: 8, turn: .backward)
    )
    for kernels in exactWays {
      let turned = try other.rotated(x, shape, using: kernels)
      #expect(try turned == usual.rotated(x, shape, .backward, using: kernels))
      let back = try other.rotated(x, shape, .backward, using: kernels)
      #expect(try back == usual.rotated(x, shape, using: kernels))
    }
  }
}
