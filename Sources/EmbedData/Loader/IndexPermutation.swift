// A seeded permutation of 0..<count that is computed, not stored: a Feistel network over the fewest
// bits that cover the range, walked until it lands inside it. Any index is mapped on its own in
// constant memory, so shuffling a billion windows costs nothing up front, and resuming in the middle
// is free.

/// A bijection of `0..<count`, the same on every platform for the same count, seed and epoch.
///
/// Definition, all arithmetic wrapping at 64 bits. `mix` is SplitMix64's output function. The key of
/// round `r` in `0..<8` is `mix(mix(seed) + mix(epoch ^ 0x9E3779B97F4A7C15) + r)`. An index has as many
/// bits as `count - 1`, at least 8, of which the upper half, rounded down, is `left` (`l` bits) and the
/// rest `right` (`r` bits). Even rounds do `left ^= mix(right + key) >> (64 - l)`, odd rounds
/// `right ^= mix(left + key) >> (64 - r)`. While the result is not below `count` it goes through the
/// rounds again, so under 2 times on average from 129 indices on.
package struct IndexPermutation: Sendable {
  package let count: UInt64
  private let leftBits: UInt64
  private let rightBits: UInt64
  private let keys: InlineArray<8, UInt64>

  package init(count: UInt64, seed: UInt64, epoch: UInt64) {
    self.count = count
    let bits = UInt64(max(8, count > 1 ? 64 - (count - 1).leadingZeroBitCount : 0))
    leftBits = bits / 2
    rightBits = bits - bits / 2
    let base = mix(seed) &+ mix(epoch ^ 0x9E37_79B9_7F4A_7C15)
    keys = InlineArray { mix(base &+ UInt64($0)) }
  }

  /// Where `index`, below `count`, is sent.
  package subscript(index: UInt64) -> UInt64 {
    let mask: UInt64 = 1 << rightBits - 1
    var value = index
    repeat {
      var left = value >> rightBits
      var right = value & mask
      for round in stride(from: 0, to: 8, by: 2) {
        left ^= mix(right &+ keys[round]) >> (64 - leftBits)
        right ^= mix(left &+ keys[round + 1]) >> (64 - rightBits)
      }
      value = left << rightBits | right
    } while value >= count
    return value
  }
}

/// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
private func mix(_ value: UInt64) -> UInt64 {
  var z = value &+ 0x9E37_79B9_7F4A_7C15
  z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
  z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
  return z ^ z >> 31
}
