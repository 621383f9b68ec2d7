// Rows of cosines and sines, one a position: where they come from and how they are computed.
//
// Angles are products of a position and a frequency in Double, and cosines and sines are rounded to
// Float once: position 1,000,000 is as exact as position 1. Rows past the table are computed as they
// are needed, by the same function, so they have the same bits.

/// A row's source as plain pointers, valid for a call.
@safe struct RotaryRows {
  /// Rows of 2P floats: cosines, then sines.
  let table: UnsafePointer<Float>
  let tableRows: Int
  let pairs: Int
  /// Radians a position.
  let frequencies: UnsafePointer<Double>
  /// Logarithms of each pair's growth a position, or nil.
  let growth: UnsafePointer<Double>?
  let center: Double
  let factor: Double
  /// The coordinate of each pair, or nil for one.
  let axes: UnsafePointer<UInt8>?

  /// The cosine and the sine of pair `pair` at `position`.
  @inline(__always)
  func element(_ pair: Int, _ position: Int) -> (cosine: Float, sine: Float) {
    let place = Double(position)
    let angle = unsafe place * frequencies[pair]
    let size = unsafe growth.map { unsafe factor * exponential((place - center) * $0[pair]) }
    return (Float(cosine(angle) * (size ?? factor)), Float(sine(angle) * (size ?? factor)))
  }

  /// The same from the table where it has the position.
  @inline(__always)
  func known(_ pair: Int, _ position: Int) -> (cosine: Float, sine: Float) {
    guard position < tableRows else { return element(pair, position) }
    let row = unsafe table + position * 2 * pairs
    return unsafe (row[pair], row[pairs + pair])
  }

  /// Computes the pairs `range` of one position: cosines into `row`, sines into `row + range.count`.
  func compute(_ range: Range<Int>, _ position: Int, into row: UnsafeMutablePointer<Float>) {
    for pair in range {
      let at = pair - range.lowerBound
      unsafe (row[at], row[range.count + at]) = element(pair, position)
    }
  }

  /// The same with a coordinate for each pair: coordinate k is `positions[k * stride]`.
  func compute(
    _ range: Range<Int>, _ positions: UnsafePointer<Int32>, stride: Int,
    into row: UnsafeMutablePointer<Float>
  ) {
    for pair in range {
      let at = pair - range.lowerBound
      let position = unsafe Int(positions[axes.map { unsafe Int($0[pair]) * stride } ?? 0])
      unsafe (row[at], row[range.count + at]) = known(pair, position)
    }
  }
}
