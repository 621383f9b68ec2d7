// The Swift types whose memory is that of elements in files, of whatever format.

/// A Swift type whose memory is that of a file's elements: `Float`, `Double`, `Half`, `BFloat16` and
/// the integers of fixed width.
///
/// No value is converted on the way. A file of another type is refused, with one exception: `UInt8`
/// also reads truth values, since any byte is a valid `UInt8` and attention masks come in either type.
/// To narrow a `float64` file, read it as `Double` and convert where it is seen; half precision is
/// widened by `NumPyFile.read(_:rank:widenedInto:)`.
public protocol FileElement: BitwiseCopyable, Sendable {
  /// The type of these elements in NumPy's files.
  static var numPyType: NumPyElementType { get }
}

extension FileElement {
  /// The type of these elements in safetensors files.
  public static var safetensorsType: SafetensorsType { SafetensorsType(numPyType) }

  /// Whether elements of `type` can be read as this type.
  static func reads(_ type: SafetensorsType) -> Bool {
    type == safetensorsType || (type == .bool && numPyType == .uint8)
  }
}

extension Float: FileElement {
  /// `float32`.
  public static var numPyType: NumPyElementType { .float32 }
}

extension Double: FileElement {
  /// `float64`.
  public static var numPyType: NumPyElementType { .float64 }
}

extension Half: FileElement {
  /// `float16`.
  public static var numPyType: NumPyElementType { .float16 }
}

extension BFloat16: FileElement {
  /// `bfloat16`.
  public static var numPyType: NumPyElementType { .bfloat16 }
}

extension Int8: FileElement {
  /// `int8`.
  public static var numPyType: NumPyElementType { .int8 }
}

extension Int16: FileElement {
  /// `int16`.
  public static var numPyType: NumPyElementType { .int16 }
}

extension Int32: FileElement {
  /// `int32`.
  public static var numPyType: NumPyElementType { .int32 }
}

extension Int64: FileElement {
  /// `int64`.
  public static var numPyType: NumPyElementType { .int64 }
}

extension UInt8: FileElement {
  /// `uint8`.
  public static var numPyType: NumPyElementType { .uint8 }
}

extension UInt16: FileElement {
  /// `uint16`.
  public static var numPyType: NumPyElementType { .uint16 }
}

extension UInt32: FileElement {
  /// `uint32`.
  public static var numPyType: NumPyElementType { .uint32 }
}

extension UInt64: FileElement {
  /// `uint64`.
  public static var numPyType: NumPyElementType { .uint64 }
}
