// int8 with one scale a row, symmetric: q = round(x / scale), ties to even, with scale = max|x| / 127 as
// it is stored; column c is float(q[c]) * scale. The scales stand beside the rows.
//
// |decoded - x| <= scale / 2 + 2^-23 * max|x|, the second for the roundings of quotient and product. A
// scale of half precision differs from max|x| / 127 by 2^-11 of it, or by 2^-25 where it is subnormal:
// 127 times that is added to the largest magnitudes, which are cut off at 127.

internal import CKernels
internal import EmbedKernel

/// With a scale of single precision.
enum Int8Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_INT8_F32 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static func scaleBytes(_ dim: Int) -> Int { 4 }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    if let column = unsafe row.firstNotFinite { return column }
    let scale = unsafe row[row.largest].magnitude / 127
    unsafe scales.storeBytes(of: scale, as: Float.self)
    unsafe quantize(row, by: scale, bytes)
    return nil
  }

  static func quantize(
    _ row: UnsafeBufferPointer<Float>, by scale: Float, _ bytes: UnsafeMutableRawPointer
  ) {
    for i in 0..<row.count {
      // A row whose scale is zero is zero, or nearer to it than to anything else.
      let q = unsafe scale == 0 ? 0 : (row[i] / scale).rounded(.toNearestOrEven)
      unsafe bytes.storeByte(UInt8(signedLevel: max(-127, min(127, q))), at: i)
    }
  }
}

/// With a scale of half precision; a row whose scale is past its largest number is refused.
enum Int8HalfRows: RowCoding {
  static var code: ek_row_format { EK_ROWS_INT8_F16 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static func scaleBytes(_ dim: Int) -> Int { 2 }
  static var domain: String { "a finite number whose row's scale is below 65,520" }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    if let column = unsafe row.firstNotFinite { return column }
    let largest = unsafe row.largest
    let scale = unsafe scales.storeHalf(row[largest].magnitude / 127)
    guard scale.isFinite else { return largest }
    unsafe Int8Rows.quantize(row, by: scale, bytes)
    return nil
  }
}
