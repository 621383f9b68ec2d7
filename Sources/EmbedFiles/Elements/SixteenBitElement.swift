// Element types of two bytes: bfloat16 and IEEE half. They halve the bytes that a table and an
// output move, and so the time.

/// A number stored in two bytes, computed with as a Float: `BFloat16` or `Half`.
public protocol SixteenBitElement: TableElement, Hashable {
  /// The bits.
  var bitPattern: UInt16 { get }

  /// The number with these bits.
  init(bitPattern: UInt16)

  /// The nearest number; ties go to the one whose last bit is zero.
  init(_ value: Float)

  /// One of the two neighbours of `value`, each with the probability that makes the mean `value`.
  ///
  /// - Parameter noise: 16 random bits.
  init(_ value: Float, roundedBy noise: UInt16)

  /// The same number as a Float; exact.
  var float: Float { get }
}
