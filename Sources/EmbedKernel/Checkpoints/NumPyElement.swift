// The element types of a `.npy` file that this library reads and writes, and their spelling.
//
// All are little-endian, as are the machines the library runs on (x86-64 and arm64).

/// An element type as a `.npy` file's `descr` names it.
public enum NumPyElementType: String, CaseIterable, Equatable, Sendable {
  /// IEEE single precision, `<f4`.
  case float32 = "<f4"
  /// IEEE double precision, `<f8`.
  case float64 = "<f8"
  /// Signed 32-bit integers, `<i4`.
  case int32 = "<i4"
  /// Signed 64-bit integers, `<i8`.
  case int64 = "<i8"
  /// Unsigned bytes, `|u1`.
  case uint8 = "|u1"
  /// Truth values, a byte each, `|b1`.
  case bool = "|b1"

  /// Bytes an element takes.
  public var byteCount: Int {
    switch self {
    case .float32, .int32: 4
    case .float64, .int64: 8
    case .uint8, .bool: 1
    }
  }
}

extension NumPyElementType: CustomStringConvertible {
  /// NumPy's name of the type, `float32` and so on.
  public var description: String {
    switch self {
    case .float32: "float32"
    case .float64: "float64"
    case .int32: "int32"
    case .int64: "int64"
    case .uint8: "uint8"
    case .bool: "bool"
    }
  }
}

/// A Swift type whose memory is that of a `.npy` file's elements: `Float`, `Double`, `Int32`,
/// `Int64` and `UInt8`.
///
/// No value is converted on the way. A file of another type is refused, with one exception:
/// `UInt8` also reads `bool` files, since any byte is a valid `UInt8` and attention masks come in
/// either type. To narrow a `float64` file, read it as `Double` and convert where it is seen.
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

extension NumPyElement {
  /// Whether elements of `type` can be read as this type.
  static func reads(_ type: NumPyElementType) -> Bool {
    type == numPyType || (type == .bool && numPyType == .uint8)
  }
}
