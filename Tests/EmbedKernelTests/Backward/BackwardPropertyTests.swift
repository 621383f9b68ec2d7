// Every backend, instruction set, thread count and kind of traffic gives the reference's bits, over
// random shapes, positions, options and memory alignments; OpenBLAS's batch sum is within its bound.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct BackwardPropertyTests {
  @Test(arguments: 0..<36 as Range<UInt64>)
  func randomBatchesHaveTheReferencesBits(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    let (batch, context) = [(1, pick(1...40)), (pick(1...150), 1), (pick(2...80), pick(2...9))][
      pick(0...2)]
    let dim = [pick(1...40), pick(1...150), pick(500...1_100)][
      batch * context > 100 ? 1 : pick(0...2)]
    let shape = EmbeddingShape(
      vocabulary: pick(1...60), batch: batch, context: context, dim: dim)
    let case_ = BackwardBatch(
      &random, seed: seed, shape: shape, hotShare: [0, 0.5, 0.9][pick(0...2)], kind: Int(seed))
    let options = BackwardOptions(
      scale: [1, Float(dim).squareRoot(), -0.3][pick(0...2)],
      gradientScale: [1, 0.125, 0.7][pick(0...2)],
      paddingID: pick(0...2) == 0 ? case_.ids[0] : nil,
      frequencyScaling: pick(0...2) == 0 ? .inverse : .none,
      summation: Summation.allCases[Int(seed / 6) % 3])
    try check(case_, options, &random)
  }

  /// Dims around every lane count, where blocks and tails begin and end.
  @Test(arguments: [1, 2, 7, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 145, 257, 1_025, 2_100])
  func everyTailLengthHasTheReferencesBits(dim: Int) throws {
    var random = SeededGenerator(seed: UInt64(dim))
    let shape = EmbeddingShape(vocabulary: 9, batch: 3, context: 7, dim: dim)
    for (index, summation) in Summation.allCases.enumerated() {
      let case_ = BackwardBatch(&random, seed: UInt64(dim), shape: shape, kind: index * 2)
      try check(case_, BackwardOptions(scale: 1.7, summation: summation), &random)
    }
  }

  /// Runs of a hot row begin and end at multiples of 64.
  @Test(arguments: [1, 2, 63, 64, 65, 127, 128, 129, 192, 193, 450, 1_000])
  func everyRunLengthHasTheReferencesBits(count: Int) throws {
    var random = SeededGenerator(seed: UInt64(count))
    for summation in Summation.allCases {
      let shape = EmbeddingShape(vocabulary: 3, batch: 1, context: count, dim: 35)
      let case_ = BackwardBatch(&random, seed: UInt64(count), shape: shape, hotShare: 0.9, kind: 2)
      try check(case_, BackwardOptions(summation: summation), &random)
    }
  }

  @Test func emptyBatchesClearOrKeep() throws {
    var random = SeededGenerator(seed: 1)
    var workspace = try BackwardWorkspace()
    for (batch, context) in [(0, 4), (3, 0), (0, 0)] {
      let shape = EmbeddingShape(vocabulary: 5, batch: batch, context: context, dim: 8)
      let case_ = BackwardBatch(&random, seed: 1, shape: shape, kind: 0)
      for way in Way.all {
        let (tokens, positions) = (random.floats(40), random.floats(case_.maximum * 8))
        let kept = try case_.dense(
          way, BackwardOptions(), tokens: tokens, positions: positions, .accumulate, &workspace)
        #expect(kept == BackwardResult(tokens: tokens, positions: positions))
        let cleared = try case_.dense(
          way, BackwardOptions(), tokens: tokens, positions: positions, .overwrite, &workspace)
        #expect(cleared.tokens.allSatisfy { $0 == 0 } && cleared.positions.allSatisfy { $0 == 0 })
        let sparse = try case_.rowSparse(way, BackwardOptions(), &workspace)
        #expect(sparse.tokens.allSatisfy { $0 == 0 })
      }
    }
  }

  private func check(
    _ case_: BackwardBatch, _ options: BackwardOptions, _ random: inout SeededGenerator
  ) throws {
    let tokens = random.floats(case_.shape.vocabulary * case_.shape.dim)
    let positions = random.floats(case_.maximum * case_.shape.dim)
    var workspace = try BackwardWorkspace()
    for writing in GradientWriting.allCases {
      let expected = case_.reference(options, tokens: tokens, positions: positions, writing)
      for way in Way.all {
        let misalignment = Int.random(in: 0...17, using: &random)
        let what = "\(case_), \(options), \(way), \(writing), misaligned by \(misalignment)"
        let result = try case_.dense(
          way, options, tokens: tokens, positions: positions, writing, misalignment: misalignment,
          &workspace)
        compare(case_, options, way, result, expected, what)
        guard writing == .overwrite else { continue }
        let sparse = try case_.rowSparse(way, options, &workspace)
        compare(case_, options, way, sparse, expected, "row-sparse, \(what)")
      }
    }
  }

  private func compare(
    _ case_: BackwardBatch, _ options: BackwardOptions, _ way: Way, _ result: BackwardResult,
    _ expected: BackwardResult, _ what: String
  ) {
    expectSameBits(result.tokens, expected.tokens, "tokens, \(what)")
    let sumsByGemv =
      way.kernels.backend == .openBLAS && case_.kind == "sequential"
      && options.summation == .chunked && case_.shape.batch > 1
    guard sumsByGemv else {
      return expectSameBits(result.positions, expected.positions, "positions, \(what)")
    }
    // Each side is within (B - 1) u S of the sum; scaling and adding round some more.
    let magnitudes = Reference.backward(
      case_.gradient.map(\.magnitude), rowOfToken: case_.places,
      onto: expected.positions.map { _ in 0 }, dim: case_.shape.dim, accumulates: false,
      order: .compensated
    ) { _ in options.gradientScale }
    let u = Float.ulpOfOne / 2
    for i in 0..<expected.positions.count {
      let bound =
        2 * Float(case_.shape.batch + 1) * u * magnitudes[i] + 4 * u
        * expected.positions[i].magnitude
      if abs(result.positions[i] - expected.positions[i]) > bound {
        Issue.record(
          "positions, \(what): element \(i) is \(result.positions[i]) instead of \(expected.positions[i])"
        )
        return
      }
    }
  }
}
