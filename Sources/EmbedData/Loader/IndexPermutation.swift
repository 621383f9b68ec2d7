// A seeded permutation of 0..<count that is computed, not stored: a Feistel network over the
// smallest even number of bits that covers the range, walked until it lands inside it. Any index is
// mapped on its own in constant memory, so shuffling a billion windows costs nothing up front, and
// resuming in the middle is free.

/// A bijection of `0..<count`, the same on every platform for the same count, seed and epoch.
///
/// Definition, all arithmetic wrapping at 64 bits. `mix` is SplitMix64's output function. The key of
/// round `r` in `0..<8` is `mix(mix(seed) + mix(epoch ^ 0x9E3779B97F4A7C15) + r)`. With `h` the larger
/// of 4 and half the bits of `count - 1`, rounded up, an index is split into halves of `h` bits, and
/// each round maps `(left, right)` to `(right, left ^ (mix(right + key) >> (64 - h)))`. While the result
/// is not below `count` it goes through the rounds again; under 4 times on average from 64 indices on.
struct IndexPermutation: Sendable {
  let count: UInt64
  private let halfBits: UInt64
  private let keys: InlineArray<8, UInt64>

  init(count: UInt64, seed: UInt64, epoch: UInt64) {
    self.count = count
    let bits = count > 1 ? 64 - (count - 1).leadingZeroBitCount : 0
    halfBits = UInt64(max(4, (bits + 1) / 2))
    let base = mix(seed) &+ mix(epoch ^ 0x9E37_79B9_7F4A_7C15)
    keys = InlineArray { mix(base &+ UInt64($0)) }
  }

  /// Where `index`, below `count`, is sent.
  subscript(index: UInt64) -> UInt64 {
    let mask: UInt64 = 1 << halfBits - 1
    var value = index
    repeat {
      var left = value >> halfBits
      var right = value & mask
      for round in keys.indices {
        (left, right) = (right, left ^ (mix(right &+ keys[round]) >> (64 - halfBits)))
      }
      value = left << halfBits | right
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
