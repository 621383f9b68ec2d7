// fp8 e4m3: plain, or times a scale of a row or of a block, which stands beside the rows.
//
// A number of 2^-6 or more is rounded to 4 bits, ties to even: by 2^-4 of it at most; a smaller one to a
// multiple of 2^-9. With a scale s: |decoded - x| <= max(2^-4 |x|, 2^-10 s), and 2^-22 |x| for the
// roundings of quotient and product. 448 is the largest number.

internal import CKernels
internal import EmbedKernel

/// A number in fp8 e4m3.
enum FP8 {
  /// Numbers up to this are rounded to 448 or below.
  static let limit: Float = 464

  /// The nearest number to `value`, which is at most `limit` in magnitude or not a number; ties go to the
  /// one whose last bit is zero.
  @inline(__always)
  static func bits(_ value: Float) -> UInt8 {
    let sign = UInt8(truncatingIfNeeded: value.bitPattern >> 24 & 0x80)
    let magnitude = value.bitPattern & 0x7FFF_FFFF
    if value.isNaN { return sign | 0x7F }
    // Subnormal: adding 2^14 leaves multiples of 2^-9. Normal: 120 less in the exponent, 20 bits of
    // fraction fewer.
    let small = (Float(bitPattern: magnitude) + 0x1p14).bitPattern &- 0x4680_0000
    let normal = (magnitude &- 0x3C00_0000 &+ 0x7_FFFF &+ (magnitude >> 20 & 1)) >> 20
    return sign | UInt8(truncatingIfNeeded: magnitude < 0x3C80_0000 ? small : normal)
  }

  /// Writes `row * factor`.
  static func store(
    _ row: UnsafeBufferPointer<Float>, times factor: Float, _ bytes: UnsafeMutableRawPointer
  ) {
    for i in 0..<row.count {
      unsafe bytes.storeByte(bits(max(-448, min(448, row[i] * factor))), at: i)
    }
  }
}

/// The nearest number of each; a number past the largest is refused, and NaN stays NaN.
enum FP8Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FP8 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static var domain: String { "NaN or a number of at most 464 in magnitude" }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    for i in 0..<row.count {
      let value = unsafe row[i]
      if value.magnitude > FP8.limit { return i }
      unsafe bytes.storeByte(FP8.bits(value), at: i)
    }
    return nil
  }
}

/// Times a scale of single precision a row, max|x| / 448.
enum ScaledFP8Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FP8_F32 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static func scaleBytes(_ dim: Int) -> Int { 4 }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    if let column = unsafe row.firstNotFinite { return column }
    let scale = unsafe row[row.largest].magnitude / 448
    unsafe scales.storeBytes(of: scale, as: Float.self)
    for i in 0..<row.count {
      let value = unsafe scale == 0 ? 0 : row[i] / scale
      unsafe bytes.storeByte(FP8.bits(max(-448, min(448, value))), at: i)
    }
    return nil
  }
}

/// Times a scale for each block, which a type of scale chooses.
private func encodeBlocks(
  _ row: UnsafeBufferPointer<Float>, of block: Int, _ bytes: UnsafeMutableRawPointer,
  _ store: (_ largest: Float, _ number: Int) -> Float
) -> Int? {
  if let column = unsafe row.firstNotFinite { return column }
  for first in stride(from: 0, to: row.count, by: block) {
    let part = unsafe UnsafeBufferPointer(rebasing: row[first..<min(first + block, row.count)])
    let inverse = unsafe store(part[part.largest].magnitude, first / block)
    unsafe FP8.store(part, times: inverse, bytes + first)
  }
  return nil
}

/// 2^(code - 127), the number of a ue8m0.
private func powerOfTwo(_ code: Int) -> Float {
  Float(sign: .plus, exponent: code - 127, significand: 1)
}

/// OCP's MXFP8: for each 32 columns 2^(floor(log2 max|x|) - 8), so that the largest magnitudes, 448 to 512
/// scales, are cut off at 448: by an eighth at most.
enum MicroscaledFP8Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FP8_BLOCK32 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static func scaleBytes(_ dim: Int) -> Int { (dim + 31) / 32 }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    unsafe encodeBlocks(row, of: 32, bytes) { largest, number in
      // The exponent's bits: those of subnormal numbers, and of zero, are zero.
      let code = max(0, Int(largest.bitPattern >> 23) - 8)
      unsafe scales.storeByte(UInt8(code), at: number)
      return powerOfTwo(127 + 127 - code)
    }
  }
}

/// DeepGEMM's blocks of 128 columns: the power of two that is max|x| / 448 or the next above, max|x| being
/// 1e-4 at least.
enum BlockFP8Rows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FP8_BLOCK128 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static func scaleBytes(_ dim: Int) -> Int { (dim + 127) / 128 }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    unsafe encodeBlocks(row, of: 128, bytes) { largest, number in
      let bits = (max(largest, 1e-4) / 448).bitPattern
      let code = Int(bits >> 23) + (bits & 0x7F_FFFF == 0 ? 0 : 1)
      unsafe scales.storeByte(UInt8(code), at: number)
      return powerOfTwo(127 + 127 - code)
    }
  }
}

/// The same with scales of single precision, max|x| / 448.
enum BlockFP8FloatRows: RowCoding {
  static var code: ek_row_format { EK_ROWS_FP8_BLOCK128_F32 }
  static func rowBytes(_ dim: Int) -> Int { dim }
  static func scaleBytes(_ dim: Int) -> Int { (dim + 127) / 128 * 4 }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    unsafe encodeBlocks(row, of: 128, bytes) { largest, number in
      let scale = max(largest, 1e-4) / 448
      unsafe scales.storeBytes(of: scale, toByteOffset: 4 * number, as: Float.self)
      return 1 / scale
    }
  }
}
