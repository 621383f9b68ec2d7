// The sum of squares of floats without rounding: a float's square has 48 bits and a known exponent, so that all
// are added up as integers. The sum is the same in any order and for any division over ranks, and is
// rounded once, at the end.

/// A sum of squares of floats, exact for up to 2^63 of them.
package struct ExactSumOfSquares: BitwiseCopyable {
  /// 640 bits, least significant first; the lowest stands for 2^-298.
  private var limbs = InlineArray<10, UInt64>(repeating: 0)
  private var hasInfinity: UInt64 = 0
  private var hasNaN: UInt64 = 0

  /// The sum of nothing.
  package init() {}

  /// Adds the squares of `values`.
  ///
  /// - Complexity: An integer multiplication and addition a value.
  @unsafe package mutating func add(_ values: UnsafeBufferPointer<Float>) {
    // Sums of mantissas' squares by exponent; 2^16 of 48 bits fit.
    var bins = InlineArray<256, UInt64>(repeating: 0)
    var start = 0
    while start < values.count {
      let end = min(values.count, start + 1 << 16)
      for i in start..<end {
        let bits = unsafe values[i].bitPattern
        let exponent = Int((bits >> 23) & 0xFF)
        let fraction = UInt64(bits & 0x7F_FFFF)
        if exponent == 255 {
          if fraction == 0 { hasInfinity = 1 } else { hasNaN = 1 }
          continue
        }
        let mantissa = exponent == 0 ? fraction : fraction | 1 << 23
        bins[exponent] &+= mantissa &* mantissa
      }
      for exponent in 0..<255 where bins[exponent] != 0 {
        add(bins[exponent], shift: 2 * max(exponent, 1) - 2)
        bins[exponent] = 0
      }
      start = end
    }
  }

  /// Adds another sum.
  package mutating func add(_ other: ExactSumOfSquares) {
    var carry: UInt64 = 0
    for i in 0..<10 {
      let (low, first) = limbs[i].addingReportingOverflow(other.limbs[i])
      let (sum, second) = low.addingReportingOverflow(carry)
      limbs[i] = sum
      carry = (first ? 1 : 0) + (second ? 1 : 0)
    }
    hasInfinity |= other.hasInfinity
    hasNaN |= other.hasNaN
  }

  private mutating func add(_ value: UInt64, shift: Int) {
    let (first, bits) = (shift / 64, UInt64(shift % 64))
    var carry = value << bits
    var next = bits == 0 ? 0 : value >> (64 - bits)
    var i = first
    while i < 10, carry != 0 || next != 0 {
      let (sum, overflow) = limbs[i].addingReportingOverflow(carry)
      limbs[i] = sum
      // What goes on is below 2^64: the upper part of the value has at most 63 bits.
      carry = next &+ (overflow ? 1 : 0)
      next = 0
      i += 1
    }
  }

  /// The sum, rounded to nearest even.
  package var value: Double {
    if hasNaN != 0 { return .nan }
    if hasInfinity != 0 { return .infinity }
    guard let top = (0..<10).last(where: { limbs[$0] != 0 }) else { return 0 }
    let zeros = limbs[top].leadingZeroBitCount
    let below = top > 0 ? limbs[top - 1] : 0
    var word = limbs[top] << UInt64(zeros)
    if zeros > 0 { word |= below >> UInt64(64 - zeros) }
    // Whether anything is below the word decides ties.
    var rest = zeros == 0 ? below : below << UInt64(zeros)
    for i in 0..<max(0, top - 1) { rest |= limbs[i] }
    if rest != 0 { word |= 1 }
    return Double(
      sign: .plus, exponent: 64 * top - zeros - 298, significand: Double(word))
  }

  /// The sum over all ranks.
  ///
  /// - Complexity: One exchange of 96 bytes.
  package func total(over ranks: Communicator) throws(DistributedError) -> ExactSumOfSquares {
    var total = ExactSumOfSquares()
    for part in try ranks.gather(self, "norm of gradients") { total.add(part) }
    return total
  }
}
