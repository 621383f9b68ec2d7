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
  /// NumPy's name of the type, `float32` and so on.
  public var description: String {
    switch self {
    case .float32: "float32"
    case .float64: "float64"
    case .float16: "float16"
    case .bfloat16: "bfloat16"
    case .int8: "int8"
    case .int16: "int16"
    case .int32: "int32"
    case .int64: "int64"
    case .uint8: "uint8"
    case .uint16: "uint16"
    case .uint32: "uint32"
    case .uint64: "uint64"
    case .bool: "bool"
    }
  }
}

/// A Swift type whose memory is that of a `.npy` file's elements: `Float`, `Double`, `Half`,
/// `BFloat16` and the integers of fixed width.
///
/// No value is converted on the way. A file of another type is refused, with one exception:
/// `UInt8` also reads `bool` files, since any byte is a valid `UInt8` and attention masks come in
/// either type. To narrow a `float64` file, read it as `Double` and convert where it is seen; half
/// precision is widened by `NumPyFile.read(_:rank:widenedInto:)`.
public protocol NumPyElement: BitwiseCopyable, Sendable {
  /// The element type written for this type.
  static var numPyType: NumPyElementType { get }
}

extension Float: NumPyElement {
  /// `float32`.
  public static var numPyType: NumPyElementType { .float32 }
}

extension Double: NumPyElement {
  /// `float64`.
  public static var numPyType: NumPyElementType { .float64 }
}

extension Int32: NumPyElement {
  /// `int32`.
  public static var numPyType: NumPyElementType { .int32 }
}

extension Int64: NumPyElement {
  /// `int64`.
  public static var numPyType: NumPyElementType { .int64 }
}

extension UInt8: NumPyElement {
  /// `uint8`.
  public static var numPyType: NumPyElementType { .uint8 }
}

extension Half: NumPyElement {
  /// `float16`.
  public static var numPyType: NumPyElementType { .float16 }
}

extension BFloat16: NumPyElement {
  /// `bfloat16`.
  public static var numPyType: NumPyElementType { .bfloat16 }
}

extension Int8: NumPyElement {
  /// `int8`.
  public static var numPyType: NumPyElementType { .int8 }
}

extension Int16: NumPyElement {
  /// `int16`.
  public static var numPyType: NumPyElementType { .int16 }
}

extension UInt16: NumPyElement {
  /// `uint16`.
  public static var numPyType: NumPyElementType { .uint16 }
}

extension UInt32: NumPyElement {
  /// `uint32`.
  public static var numPyType: NumPyElementType { .uint32 }
}

extension UInt64: NumPyElement {
  /// `uint64`.
  public static var numPyType: NumPyElementType { .uint64 }
}

extension NumPyElement {
  /// Whether elements of `type` can be read as this type.
  static func reads(_ type: NumPyElementType) -> Bool {
    type == numPyType || (type == .bool && numPyType == .uint8)
  }
}
