// Rows of the element types, which tables of floats and 16-bit elements have.

internal import CKernels
internal import EmbedKernel

/// Rows of floats as they are.
enum FloatRows: RowCoding {
  static var code: ek_row_format { EK_ROWS_F32 }
  static func rowBytes(_ dim: Int) -> Int { 4 * dim }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    for i in 0..<row.count {
      let value = unsafe row[i]
      unsafe bytes.storeBytes(of: value, toByteOffset: 4 * i, as: Float.self)
    }
    return nil
  }
}

/// Rows of 16-bit elements, each the nearest to a float; infinities and NaN stay what they are, and a
/// finite number past the largest is refused.
enum SixteenBitRows<Element: SixteenBitElement>: RowCoding {
  static var code: ek_row_format {
    Element.elementType == .float16 ? EK_ROWS_F16 : EK_ROWS_BF16
  }
  static func rowBytes(_ dim: Int) -> Int { 2 * dim }

  static func encode(
    _ row: UnsafeBufferPointer<Float>, _ bytes: UnsafeMutableRawPointer,
    _ scales: UnsafeMutableRawPointer
  ) -> Int? {
    for i in 0..<row.count {
      let value = unsafe row[i]
      let element = Element(value)
      if value.isFinite, !element.float.isFinite { return i }
      unsafe bytes.storeBytes(of: element.bitPattern, toByteOffset: 2 * i, as: UInt16.self)
    }
    return nil
  }
}
