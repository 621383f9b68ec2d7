// IEEE 754's binary16. Swift's own Float16 is missing on Intel Macs, and its conversions elsewhere
// are calls into the compiler's library, so the bits are converted here.

/// A number in IEEE half precision, as its bits.
public struct Half: HalfPrecision, Sendable {
  /// Sign, 5 exponent bits, 10 bits of fraction.
  public let bitPattern: UInt16

  /// The number with these bits.
  @inlinable public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// The nearest number to `value`; of two equally near, the one whose last bit is zero.
  ///
  /// Values of 65,520 and more become infinite, those of 2^-25 and less zero. A NaN keeps its sign
  /// and leading bits and becomes quiet. The same bits as the F16C instructions give.
  @inlinable @inline(__always)
  public init(_ value: Float) {
    let bits = value.bitPattern
    let sign = bits >> 16 & 0x8000
    let magnitude = bits & 0x7FFF_FFFF
    let result: UInt32
    if magnitude > 0x7F80_0000 {
      result = 0x7E00 | magnitude >> 13 & 0x3FF
    } else if magnitude >= 0x4780_0000 {
      // 65,536 and more; what lies between 65,520 and that is carried into infinity below.
      result = 0x7C00
    } else if magnitude >= 0x3880_0000 {
      // Normal: 112 less in the exponent, 13 bits of fraction fewer.
      let rebased = magnitude &- 0x3800_0000
      result = (rebased &+ 0xFFF &+ (rebased >> 13 & 1)) >> 13
    } else {
      // Subnormal: adding 0.5 rounds to the steps of 2^-24 that half's subnormals have.
      result = (Float(bitPattern: magnitude) + 0.5).bitPattern &- 0x3F00_0000
    }
    bitPattern = UInt16(truncatingIfNeeded: sign | result)
  }

  /// The same number; exact. A NaN becomes quiet.
  @inlinable @inline(__always)
  public var float: Float {
    let bits = UInt32(bitPattern)
    let sign = (bits & 0x8000) << 16
    let magnitude = (bits & 0x7FFF) << 13
    if magnitude >= 0x0F80_0000 {
      let isNaN = magnitude > 0x0F80_0000
      return Float(bitPattern: sign | magnitude | 0x7000_0000 | (isNaN ? 0x40_0000 : 0))
    }
    if magnitude < 0x80_0000 {
      // Subnormal or zero: the fraction counts steps of 2^-24.
      let value = Float(bits & 0x3FF) * 0x1p-24
      return Float(bitPattern: sign | value.bitPattern)
    }
    return Float(bitPattern: sign | magnitude &+ 0x3800_0000)
  }
}
