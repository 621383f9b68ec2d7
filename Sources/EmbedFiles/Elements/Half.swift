// IEEE 754's binary16. Swift's own Float16 is missing on Intel Macs, and its conversions elsewhere
// are calls into the compiler's library, so the bits are converted here.

/// A number in IEEE half precision, as its bits.
public struct Half: SixteenBitElement, Sendable {
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
    // Each kind is computed and one is chosen, without branches, so that loops become vectors.
    // Normal: 112 less in the exponent, 13 bits of fraction fewer; what rounds past the largest is
    // carried into infinity.
    let rebased = magnitude &- 0x3800_0000
    let normal = (rebased &+ 0xFFF &+ (rebased >> 13 & 1)) >> 13
    // Subnormal: adding 0.5 rounds to the steps of 2^-24 that half's subnormals have.
    let small = (Float(bitPattern: magnitude) + 0.5).bitPattern &- 0x3F00_0000
    let nan = 0x7E00 | magnitude >> 13 & 0x3FF
    let finite = magnitude < 0x3880_0000 ? small : normal
    let result =
      magnitude > 0x7F80_0000 ? nan : magnitude >= 0x4780_0000 ? 0x7C00 : finite
    bitPattern = UInt16(truncatingIfNeeded: sign | result)
  }

  /// One of the two neighbours of `value`, each with the probability that makes the mean `value`, those of
  /// subnormal numbers to 2^-16.
  ///
  /// Values between 65,504 and 65,536 become the one or infinite, those of 65,536 and more infinite. A
  /// NaN keeps its sign and leading bits and becomes quiet.
  ///
  /// - Parameter noise: 16 random bits, of which normal numbers take the upper 13.
  @inlinable @inline(__always)
  public init(_ value: Float, roundedBy noise: UInt16) {
    let sign = value.bitPattern >> 16 & 0x8000
    let magnitude = value.bitPattern & 0x7FFF_FFFF
    let isSmall = magnitude < 0x3880_0000
    let small = Float(bitPattern: isSmall ? magnitude : 0) * 0x1p40
    let subnormal = ((UInt32(exactly: small.rounded(.down)) ?? 0) &+ UInt32(noise)) >> 16
    let normal = (magnitude &- 0x3800_0000 &+ UInt32(noise >> 3)) >> 13
    let nan = 0x7E00 | magnitude >> 13 & 0x3FF
    let result =
      magnitude > 0x7F80_0000
      ? nan : magnitude >= 0x4780_0000 ? 0x7C00 : isSmall ? subnormal : normal
    bitPattern = UInt16(truncatingIfNeeded: sign | result)
  }

  /// The same number; exact. A NaN becomes quiet.
  @inlinable @inline(__always)
  public var float: Float {
    let bits = UInt32(bitPattern)
    let sign = (bits & 0x8000) << 16
    let magnitude = (bits & 0x7FFF) << 13
    // Subnormal or zero: the fraction counts steps of 2^-24.
    let small = (Float(Int32(bitPattern: bits & 0x3FF)) * 0x1p-24).bitPattern
    let special = magnitude | 0x7000_0000 | (magnitude > 0x0F80_0000 ? 0x40_0000 : 0)
    let finite = magnitude < 0x80_0000 ? small : magnitude &+ 0x3800_0000
    return Float(bitPattern: sign | (magnitude >= 0x0F80_0000 ? special : finite))
  }
}
