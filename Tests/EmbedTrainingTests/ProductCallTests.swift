// What threads must not change: the calls into OpenBLAS that a product, a pass and a step make. Equal
// calls give equal bits whatever kernels the CPU's OpenBLAS takes, so these tests hold on the machine
// at hand for all others.

import EmbedKernel
import EmbedTraining
import TestSupport
import Testing

/// A product's sizes.
struct ProductShape: Sendable, CustomTestStringConvertible {
  let rows: Int
  let columns: Int
  let depth: Int
  var testDescription: String { "\(rows) x \(columns) x \(depth)" }

  /// No multiple of any block, and those that Haswell's kernels sum otherwise in halves.
  static let awkward = [
    ProductShape(rows: 512, columns: 256, depth: 128),
    ProductShape(rows: 195, columns: 192, depth: 48),
    ProductShape(rows: 131, columns: 517, depth: 67),
    ProductShape(rows: 67, columns: 1_031, depth: 33),
    ProductShape(rows: 4_099, columns: 37, depth: 29),
    ProductShape(rows: 5, columns: 3, depth: 2),
  ]
}

// The recorder hears every call of the process, where other suites run too: calls are recorded in
// processes of their own.
@Suite struct ProductCallTests {
  static let threads = [1, 2, 3, 7, 64]

  /// The bits of a product, read plainly, transposed and added to.
  private func bits(_ shape: ProductShape, threads: Int) throws -> [UInt32] {
    var draws = SeededGenerator(seed: 11)
    func draw(_ count: Int) throws -> AlignedBuffer<Float> {
      let buffer = try AlignedBuffer<Float>(count: count)
      for i in 0..<count { unsafe buffer.unsafeBuffer[i] = Float.random(in: -1...1, using: &draws) }
      return buffer
    }
    let (m, n, k) = (shape.rows, shape.columns, shape.depth)
    let a = try draw(m * k)
    let b = try draw(k * n)
    let c = try draw(m * n)
    func matrix(_ buffer: borrowing AlignedBuffer<Float>, _ rows: Int, _ columns: Int)
      -> StridedMatrix
    {
      unsafe StridedMatrix(buffer.unsafeBuffer.baseAddress.unsafelyUnwrapped, rows, columns)
    }
    var found: [UInt32] = []
    try OneThreadedBLAS.run { () throws(EmbedError) in
      let target = matrix(c, m, n)
      for (isFirst, isSecond) in [(false, false), (true, false), (false, true), (true, true)] {
        let first = isFirst ? matrix(a, k, m).transposed : matrix(a, m, k)
        let second = isSecond ? matrix(b, n, k).transposed : matrix(b, k, n)
        for writing in [GradientWriting.accumulate, .overwrite] {
          MatrixProduct.multiply(first, second, scale: 0.3, writing, target, threads: threads)
          for i in 0..<m * n { unsafe found.append(c.unsafeBuffer[i].bitPattern) }
        }
      }
    }
    return found
  }

  @Test(arguments: ProductShape.awkward)
  func threadsChangeNoBitOfAProduct(_ shape: ProductShape) throws {
    let expected = try bits(shape, threads: 1)
    for threads in Self.threads.dropFirst() {
      #expect(try bits(shape, threads: threads) == expected, "\(threads) threads")
    }
  }

  @Test func threadsChangeNoCallOfAProduct() async {
    await #expect(processExitsWith: .success) {
      for shape in ProductShape.awkward {
        let lists = try ProductCallTests.threads.map { threads in
          try BLASCall.recorded { _ = try ProductCallTests().bits(shape, threads: threads) }
        }
        try #require(lists[0].contains { !$0.isEmpty })
        for list in lists { try #require(list == lists[0]) }
      }
    }
  }

  @Test func threadsChangeNoCallOfAPassAndAStep() async {
    await #expect(processExitsWith: .success) {
      for c in GPTCase.alternating {
        let configuration = c.configuration(
          vocabulary: 131, context: 65, dim: 48, heads: 4, layers: 2)
        let batch = GPTBatch(configuration, batch: 3, context: 65, seed: 9)
        var lists: [[[BLASCall]]] = []
        var gradients: [[String: [Float]]] = []
        for threads in ProductCallTests.threads {
          let model = try GPT.drawn(configuration, seed: 8)
          let workspace = try GPTWorkspace(
            for: model, batch: 3, context: 65, purpose: .training, threads: threads)
          lists.append(
            try BLASCall.recorded {
              _ = try model.loss(
                batch.ids.span, targets: batch.targets.span, batch: 3, context: 65, in: workspace)
              _ = try batch.gradients(of: model, in: workspace)
            })
          gradients.append(model.gradientValues)
        }
        // Products of both kinds: of all rows in pieces, and of attention's tiles.
        let calls = lists[0].joined()
        try #require(calls.contains { $0.routine == "sgemm" && $0.sizes[2] == 48 })
        try #require(calls.contains { $0.routine == "sgemm" && $0.sizes[2] == 12 })
        // The tiles of attention go to memory of the thread that computes them, so that their calls have
        // an order within a tile alone; all others have one for each address.
        func isTile(_ call: BLASCall) -> Bool { call.sizes.contains(12) }
        let whole = lists.map { $0.filter { !$0.contains(where: isTile) } }
        let tiles = lists.map { $0.joined().filter(isTile).map(\.description).sorted() }
        try #require(whole[0].count > 10 && tiles[0].count > 10)
        for list in whole { try #require(list == whole[0]) }
        for list in tiles { try #require(list == tiles[0]) }
        for values in gradients { try #require(values == gradients[0]) }
      }
    }
  }
}
