// The shuffle's permutation: a bijection for every count, the same numbers everywhere, and without
// a visible bias.

import EmbedData
import Testing

@Suite struct IndexPermutationTests {
  /// From a transcription of the documented definition into Python.
  @Test(
    arguments: [
      (10, 0, 0, [8, 9, 2, 5, 7, 0, 4, 3, 6, 1]),
      (10, 0, 1, [0, 3, 1, 5, 8, 7, 2, 4, 9, 6]),
      (1000, 42, 0, [90, 686, 361, 955, 623, 188, 298, 272, 938, 220]),
      (1_000_000_000_000, 7, 3, [74_780_147_689, 447_090_672_584, 533_464_132_988]),
    ] as [(UInt64, UInt64, UInt64, [UInt64])])
  func valuesAreFixed(count: UInt64, seed: UInt64, epoch: UInt64, expected: [UInt64]) {
    let permutation = IndexPermutation(count: count, seed: seed, epoch: epoch)
    #expect((0..<UInt64(expected.count)).map { permutation[$0] } == expected)
  }

  @Test func everyCountIsABijection() {
    for count in Array(1...300) + [511, 512, 513, 4096, 65_535, 65_537] as [UInt64] {
      let permutation = IndexPermutation(count: count, seed: count, epoch: 1)
      var isHit = [Bool](repeating: false, count: Int(count))
      for i in 0..<count { isHit[Int(permutation[i])] = true }
      #expect(!isHit.contains(false), "count \(count)")
    }
  }

  /// Over 5,000 seeds, where each index of a few lands: chi-squared with (n-1)^2 degrees of
  /// freedom, at most its mean and six standard deviations.
  @Test(arguments: [2, 3, 5, 12] as [UInt64])
  func everyPlaceIsAsLikely(count: UInt64) {
    let n = Int(count)
    let trials = 5_000
    var hits = [Int](repeating: 0, count: n * n)
    for seed in 0..<UInt64(trials) {
      let permutation = IndexPermutation(count: count, seed: seed, epoch: 0)
      for i in 0..<count { hits[Int(i) * n + Int(permutation[i])] += 1 }
    }
    let expected = Double(trials) / Double(n)
    let statistic = hits.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) }
    let degrees = Double((n - 1) * (n - 1))
    #expect(statistic / expected < degrees + 6 * (2 * degrees).squareRoot())
  }

  /// Neighbours should not stay neighbours: the mean distance of two random places in 0..<n is n/3.
  @Test func neighboursAreParted() {
    let count: UInt64 = 100_000
    let permutation = IndexPermutation(count: count, seed: 5, epoch: 0)
    var sum = 0.0
    for i in 1..<count {
      sum += abs(Double(permutation[i]) - Double(permutation[i - 1]))
    }
    #expect(abs(sum / Double(count - 1) / Double(count) - 1.0 / 3) < 0.01)
  }

  @Test func seedsAndEpochsDiffer() {
    func first(_ seed: UInt64, _ epoch: UInt64) -> [UInt64] {
      let permutation = IndexPermutation(count: 1 << 40, seed: seed, epoch: epoch)
      return (0..<8).map { permutation[$0] }
    }
    let orders = [first(0, 0), first(1, 0), first(0, 1), first(1, 1), first(.max, 0)]
    #expect(Set(orders).count == orders.count)
  }
}
