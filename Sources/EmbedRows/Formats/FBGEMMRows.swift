// FBGEMM's rows, whose scale and bias stand at their end. Column c is q[c] * scale + bias, rounded once;
// of 8 bits, the columns after the last whole eight are rounded to a double on the way.
//
// 8 bits: bias = min x, scale = (max x - min x) / 255, q = round((x - bias) * (255 / (range + 1e-8))):
// |decoded - x| <= scale / 2 + 1e-8, and 2^-22 * max(|x|, range) for roundings. 4 bits: the bias is
// rounded to half precision first, scale = (max x - bias) / 15 likewise: scale / 2, 2^-11 of the bias and
// 15 times 2^-11 of the scale.

internal import CKernels
internal import EmbedKernel

/// A byte a column, then scale and bias in single precision.
enum FBGEMM8Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FBGEMM8 }
  static func rowBytes(_ dim: Int) -> Int { dim + 8 }
  static var domain: String { "a finite number whose row's range is finite" }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    if let column = unsafe row.firstNotFinite { return column }
    let bounds = unsafe row.fbgemmBounds
    let range = bounds.highest - bounds.lowest
    guard range.isFinite else { return unsafe row.largest }
    unsafe bytes.storeBytes(of: range / 255, toByteOffset: row.count, as: Float.self)
    unsafe bytes.storeBytes(of: bounds.lowest, toByteOffset: row.count + 4, as: Float.self)
    let inverse = 255 / (range + 1e-8)
    for i in 0..<row.count {
      let q = unsafe ((row[i] - bounds.lowest) * inverse).rounded(.toNearestOrEven)
      unsafe bytes.storeByte(UInt8(level: min(255, q)), at: i)
    }
    return nil
  }
}

/// Two columns a byte, the first in the low bits, then scale and bias in half precision. FBGEMM has no rows
/// whose length is no multiple of 4.
enum FBGEMM4Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FBGEMM4 }
  static var block: Int { 4 }
  static func rowBytes(_ dim: Int) -> Int { dim / 2 + 4 }
  static var domain: String { "a finite number whose row's range and smallest are below 65,520" }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    if let column = unsafe row.firstNotFinite { return column }
    let bounds = unsafe row.fbgemmBounds
    let end = row.count / 2
    let bias = unsafe bytes.storeHalf(bounds.lowest, at: end + 2)
    let range = bounds.highest - bias
    var scale = unsafe bytes.storeHalf(range == 0 ? 1 : range / 15, at: end)
    guard bias.isFinite, scale.isFinite else { return unsafe row.largest }
    // Scales too small for half precision, and those of no range.
    if scale == 0 { scale = unsafe bytes.storeHalf(1, at: end) }
    let inverse = 1 / scale
    for byte in 0..<end {
      let low = unsafe level(row[2 * byte], bias, inverse)
      let high = unsafe level(row[2 * byte + 1], bias, inverse)
      unsafe bytes.storeByte(low | high << 4, at: byte)
    }
    return nil
  }

  @inline(__always)
  private static func level(_ value: Float, _ bias: Float, _ inverse: Float) -> UInt8 {
    UInt8(level: max(0, min(15, ((value - bias) * inverse).rounded(.toNearestOrEven))))
  }
}

extension UnsafeBufferPointer<Float> {
  /// The smallest number and the largest. Of zeros with and without a sign the smallest is the one that
  /// FBGEMM finds: the last one of the first of eight lanes that has any, or else the first after the last
  /// whole eight.
  fileprivate var fbgemmBounds: (lowest: Float, highest: Float) {
    var bounds = unsafe bounds
    guard bounds.lowest == 0 else { return bounds }
    let whole = count / 8 * 8
    let places = (0..<Swift.min(8, whole)).lazy.compactMap { lane in
      stride(from: whole - 8 + lane, through: 0, by: -8).first { unsafe self[$0] == 0 }
    }
    if let place = unsafe places.first ?? firstIndex(of: 0) { bounds.lowest = unsafe self[place] }
    // Found by the same order: a row of zeros has a range of 0, never of -0.
    if bounds.highest == 0 { bounds.highest = bounds.lowest }
    return bounds
  }
}
