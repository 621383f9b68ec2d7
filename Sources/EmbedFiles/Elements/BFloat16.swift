// The upper half of a Float: its sign, its eight exponent bits and seven bits of fraction. Storage
// only: arithmetic is done in Float and rounded once.

/// A number in bfloat16, as its bits.
public struct BFloat16: SixteenBitElement, Sendable {
  /// Sign, 8 exponent bits, 7 bits of fraction.
  public let bitPattern: UInt16

  /// The number with these bits.
  @inlinable public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// The nearest number to `value`; of two equally near, the one whose last bit is zero.
  ///
  /// Finite values past the largest bfloat16 by half a step or more become infinite. A NaN keeps its
  /// sign and leading bits and becomes quiet.
  @inlinable @inline(__always)
  public init(_ value: Float) {
    let bits = value.bitPattern
    let half: UInt32 = 0x7FFF
    let rounded = (bits &+ half &+ (bits >> 16 & 1)) >> 16
    let quiet = bits >> 16 | 0x40
    bitPattern = UInt16(
      truncatingIfNeeded: bits & 0x7FFF_FFFF > 0x7F80_0000 ? quiet : rounded)
  }

  /// One of the two neighbours of `value`, each with the probability that makes the mean `value`.
  ///
  /// - Parameter noise: 16 random bits.
  @inlinable @inline(__always)
  public init(_ value: Float, roundedBy noise: UInt16) {
    let bits = value.bitPattern
    let isNaN = bits & 0x7FFF_FFFF > 0x7F80_0000
    bitPattern = UInt16(
      truncatingIfNeeded: isNaN ? bits >> 16 | 0x40 : (bits &+ UInt32(noise)) >> 16)
  }

  /// The same number; exact.
  @inlinable @inline(__always)
  public var float: Float { Float(bitPattern: UInt32(bitPattern) << 16) }
}
