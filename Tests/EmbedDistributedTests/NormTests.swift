// The norm over ranks: one number whatever the ranks, and the right one.

import EmbedDistributed
import EmbedKernel
import TestSupport
import Testing

@Suite struct NormTests {
  private func norm(_ ranks: Int, _ sharding: Sharding, _ values: [Float]) throws -> [Double] {
    let dim = 16
    return try EmbedDistributedTests.values(ranks) { communicator in
      let layer = try ShardedEmbedding(
        vocabulary: 50, dim: dim, sharding: sharding, positions: .learned(maximum: 8),
        over: communicator)
      var gradient = try layer.makeGradient()
      let isFirst = communicator.rank == 0
      let context = 8
      let batch = isFirst ? values.count / (context * dim) : 0
      let ids = (0..<batch * context).map { Int32($0 * 7 % 50) }
      try layer.backward(
        isFirst ? values : [], ids: ids, batch: batch, context: context, into: &gradient)
      return try layer.norm(of: gradient)
    }
  }

  @Test func isTheSameForAnyRanksAndDivision() throws {
    var random = SeededGenerator(seed: 4)
    let values = random.floats(4 * 8 * 16)
    let expected = try norm(1, .contiguousRows, values)[0]
    for ranks in [2, 3, 7] {
      for sharding in ShardedEmbeddingTests.shardings {
        for norm in try norm(ranks, sharding, values) { #expect(norm == expected) }
      }
    }
    let layer = try InputEmbedding(vocabulary: 50, dim: 16, positions: .learned(maximum: 8))
    let gradient = try layer.backward(
      values, ids: (0..<32).map { Int32($0 * 7 % 50) }, batch: 4, context: 8)
    var reference = GradientNorm()
    reference.add(gradient.tokens)
    reference.add(gradient.positions)
    #expect(abs(reference.value - expected) <= 1e-14 * expected)
  }

  @Test(
    arguments: [
      (3, 4, 5), (Float(0x1p-149), 0, 0x1p-149), (0x1p127, 0, 0x1p127),
      (1.5 * 0x1p-140, 0, 1.5 * 0x1p-140),
    ] as [(Float, Float, Double)])
  func squaresAreNotRounded(a: Float, b: Float, expected: Double) throws {
    // One token's gradient without positions: a table's row with two elements.
    let norms = try values(2) { communicator in
      let layer = try ShardedEmbedding(
        vocabulary: 4, dim: 2, sharding: .columns, over: communicator)
      var gradient = try layer.makeGradient()
      let isFirst = communicator.rank == 0
      try layer.backward(
        isFirst ? [a, b] : [], ids: isFirst ? [Int32(1)] : [], batch: isFirst ? 1 : 0, context: 1,
        into: &gradient)
      return try layer.norm(of: gradient)
    }
    #expect(norms == [expected, expected])
  }

  @Test(arguments: [(Float.infinity, Double.infinity), (.nan, .nan)])
  func isNotFiniteWhereAnElementIsNot(element: Float, expected: Double) throws {
    let results = try values(2) { communicator -> (Double, DistributedError?) in
      let layer = try ShardedEmbedding(vocabulary: 4, dim: 2, over: communicator)
      var gradient = try layer.makeGradient()
      try layer.backward(
        [element, 1], ids: [Int32(1)], batch: 1, context: 1, into: &gradient)
      do throws(DistributedError) {
        _ = try layer.clipFactor(of: gradient, maximum: 1)
        return (try layer.norm(of: gradient), nil)
      } catch { return (try layer.norm(of: gradient), error) }
    }
    for (norm, fault) in results {
      #expect(expected.isNaN ? norm.isNaN : norm == expected)
      guard case .invalid(.invalidValue("gradient norm", _, _))? = fault else {
        Issue.record("\(String(describing: fault))")
        continue
      }
    }
  }

  @Test func clipsToTheMaximum() throws {
    let factors = try values(3) { communicator -> [Float] in
      let layer = try ShardedEmbedding(vocabulary: 9, dim: 2, over: communicator)
      var gradient = try layer.makeGradient()
      let ids = [Int32(communicator.rank)]
      try layer.backward([0, 2], ids: ids, batch: 1, context: 1, into: &gradient)
      return [
        try layer.clipFactor(of: gradient, maximum: 1),
        try layer.clipFactor(of: gradient, maximum: 4),
      ]
    }
    let expected = Float(1 / (12.0.squareRoot() + 1e-6))
    for factor in factors { #expect(factor == [expected, 1]) }
  }
}
