// Ids drawn from a seeded generator, so that every run measures the same rows.

internal import Foundation

/// SplitMix64, a small generator that is good enough to pick rows.
struct SplitMix64: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// The inverse of a Zipf law's cumulative probabilities over `0..<count`.
struct Zipf {
  private let cumulative: [Double]

  /// The probability of rank `r` (from 1) is in proportion to `1 / r^exponent`.
  init(count: Int, exponent: Double) {
    var sum = 0.0
    cumulative = (1...count).map { rank in
      sum += pow(Double(rank), -exponent)
      return sum
    }
  }

  func draw(_ generator: inout SplitMix64) -> Int32 {
    let target = Double.random(in: 0..<cumulative[cumulative.count - 1], using: &generator)
    var (low, high) = (0, cumulative.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if cumulative[middle] > target { high = middle } else { low = middle + 1 }
    }
    return Int32(low)
  }
}

extension Workload {
  /// `idBatches` batches of ids, one after another.
  func drawIDs() -> [Int32] {
    var generator = SplitMix64(state: 2_025)
    let count = idBatches * tokens
    switch distribution {
    case .uniform:
      return (0..<count).map { _ in .random(in: 0..<Int32(vocabulary), using: &generator) }
    case .zipf:
      let zipf = Zipf(count: vocabulary, exponent: 1.1)
      return (0..<count).map { _ in zipf.draw(&generator) }
    }
  }
}
