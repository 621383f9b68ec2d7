// The element types of a `.npy` file that this library reads and writes, and their spelling.
//
// All are little-endian, as are the machines the library runs on (x86-64 and arm64).

/// An element type, by the `descr` that NumPy writes for it.
public enum NumPyElementType: String, CaseIterable, Equatable, Sendable {
  /// IEEE single precision, `<f4`.
  case float32 = "<f4"
  /// IEEE double precision, `<f8`.
  case float64 = "<f8"
  /// IEEE half precision, `<f2`.
  case float16 = "<f2"
  /// bfloat16, which JAX and ml_dtypes write as two bytes without a meaning, `<V2`.
  case bfloat16 = "<V2"
  /// Signed 8-bit integers, `|i1`.
  case int8 = "|i1"
  /// Signed 16-bit integers, `<i2`.
  case int16 = "<i2"
  /// Signed 32-bit integers, `<i4`.
  case int32 = "<i4"
  /// Signed 64-bit integers, `<i8`.
  case int64 = "<i8"
  /// Unsigned bytes, `|u1`.
  case uint8 = "|u1"
  /// Unsigned 16-bit integers, `<u2`.
  case uint16 = "<u2"
  /// Unsigned 32-bit integers, `<u4`.
  case uint32 = "<u4"
  /// Unsigned 64-bit integers, `<u8`.
  case uint64 = "<u8"
  /// Truth values, a byte each, `|b1`.
  case bool = "|b1"

  /// Bytes an element takes.
  public var byteCount: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .float16, .bfloat16, .int16, .uint16: 2
    case .float32, .int32, .uint32: 4
    case .float64, .int64, .uint64: 8
    }
  }
}

extension NumPyElementType: CustomStringConvertible {
  /// NumPy's name of the type, `float32` and so on, which is that of the case.
  public var description: String { "\(SafetensorsType(self))" }
}
