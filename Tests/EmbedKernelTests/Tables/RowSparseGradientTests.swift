// Adding row-sparse gradients, norms, and scaling, against dense arithmetic.

import EmbedKernel
import TestSupport
import Testing

@Suite struct RowSparseGradientTests {
  @Test(arguments: (0..<30 as Range<UInt64>).inDebug(every: 5))
  func sumsAreThoseOfDenseGradients(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let rows = [1, 5, 40, 3_000][Int(seed) % 4]
    let dim = Int.random(in: 1...50, using: &random)
    let factor: Float = [1, -0.5][Int(seed) % 2]
    for threads in [1, 2, 3, 7] {
      var sum = try RowSparseGradient(rows: rows, dim: dim)
      var dense = [Float](repeating: 0, count: rows * dim)
      var listed = Set<Int>()
      for size in [0, 3, 700, 1, 2_000, 40] {
        let ids = (0..<size).map { _ in Int.random(in: 0..<rows, using: &random) }
        let part = try gradient(ids, rows: rows, dim: dim, &random)
        let spreadPart = spread(part)
        let new = Set(ids)
        for row in new {
          for i in row * dim..<(row + 1) * dim {
            dense[i] =
              listed.contains(row) ? dense[i] + factor * spreadPart[i] : factor * spreadPart[i]
          }
        }
        listed.formUnion(new)
        try sum.add(part, times: factor, threads: threads)
        #expect(sum.count == listed.count)
        expectSameBits(spread(sum), dense, "seed \(seed), \(rows) rows, \(threads) threads")
      }
    }
  }

  @Test func gradientsOfOtherTablesAreRefused() throws {
    var random = SeededGenerator(seed: 1)
    var sum = try gradient([0, 2], rows: 3, dim: 4, &random)
    let before = spread(sum)
    let otherRows = try RowSparseGradient(rows: 4, dim: 4)
    let otherDim = try RowSparseGradient(rows: 3, dim: 5)
    let same = try RowSparseGradient(rows: 3, dim: 4)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "rows of the gradient to add", value: 4, expected: "3")
    ) { try sum.add(otherRows) }
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the gradient to add", value: 5, expected: "4")
    ) { try sum.add(otherDim) }
    #expect(throws: EmbedError.self) { try sum.add(same, times: .infinity) }
    #expect(spread(sum) == before)
  }

  @Test(arguments: [NormOrder.one, .two, .power(3), .infinity])
  func normsAreTheSameForEveryThreadCount(order: NormOrder) throws {
    var random = SeededGenerator(seed: 8)
    let sparse = try gradient((0..<3_000).map { $0 }, rows: 3_000, dim: 40, &random)
    let dense = random.floats(1_000)
    var norms = Set<Double>()
    for threads in [1, 2, 3, 7] {
      var norm = try GradientNorm(order: order)
      norm.add(sparse, threads: threads)
      norm.add(dense.span, threads: threads)
      norms.insert(norm.value)
    }
    #expect(norms.count == 1)
    let values = (spread(sparse) + dense).map { Double($0.magnitude) }
    let expected: Double =
      switch order {
      case .one: values.reduce(0, +)
      case .two: values.reduce(0) { $0 + $1 * $1 }.squareRoot()
      case .power: values.reduce(0) { $0 + $1 * $1 * $1 }
      case .infinity: values.max() ?? 0
      }
    var value = try #require(norms.first)
    if case .power = order { value = value * value * value }
    #expect(abs(value - expected) <= 1e-12 * expected)
  }

  @Test func normsThatAreNotNumbersAreRefused() throws {
    var norm = GradientNorm()
    #expect(try norm.clipFactor(maximum: 1) == 1)
    norm.add(([1, .nan] as [Float]).span)
    #expect(throws: EmbedError.self) { try norm.clipFactor(maximum: 1) }
    var largest = try GradientNorm(order: .infinity)
    largest.add(([1, .nan, 2] as [Float]).span)
    #expect(largest.value.isNaN)
    for p in [0, -1, .infinity, .nan] {
      #expect(throws: EmbedError.self) { try GradientNorm(order: .power(p)) }
    }
    #expect(throws: EmbedError.self) { try GradientNorm().clipFactor(maximum: -1) }
  }

  private func gradient(
    _ ids: [Int], rows: Int, dim: Int, _ random: inout SeededGenerator
  ) throws -> RowSparseGradient {
    var result = try RowSparseGradient(rows: rows, dim: dim)
    var workspace = try BackwardWorkspace()
    let output = random.floats(ids.count * dim)
    try Kernels.auto.backward(
      output.span, ids: ids.span,
      shape: EmbeddingShape(vocabulary: rows, batch: 1, context: ids.count, dim: dim),
      tokens: .rowSparse(&result), positions: .none, workspace: &workspace)
    return result
  }
}
