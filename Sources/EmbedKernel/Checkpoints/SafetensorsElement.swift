// The element types of a safetensors file and the Swift types that stand for them.

/// An element type as a safetensors header names it, in the order in which writers sort: rising
/// alignment, as in the reference library.
public enum SafetensorsType: String, CaseIterable, Equatable, Sendable {
  /// Truth values, a byte each.
  case bool = "BOOL"
  /// Unsigned bytes.
  case uint8 = "U8"
  /// Signed bytes.
  case int8 = "I8"
  /// Eight-bit floats with two bits of fraction.
  case float8e5m2 = "F8_E5M2"
  /// Eight-bit floats with three bits of fraction.
  case float8e4m3 = "F8_E4M3"
  /// Signed 16-bit integers.
  case int16 = "I16"
  /// Unsigned 16-bit integers.
  case uint16 = "U16"
  /// IEEE half precision.
  case float16 = "F16"
  /// bfloat16.
  case bfloat16 = "BF16"
  /// Signed 32-bit integers.
  case int32 = "I32"
  /// Unsigned 32-bit integers.
  case uint32 = "U32"
  /// IEEE single precision.
  case float32 = "F32"
  /// IEEE double precision.
  case float64 = "F64"
  /// Signed 64-bit integers.
  case int64 = "I64"
  /// Unsigned 64-bit integers.
  case uint64 = "U64"

  /// Bytes an element takes, which is also its alignment.
  public var byteCount: Int {
    switch self {
    case .bool, .uint8, .int8, .float8e5m2, .float8e4m3: 1
    case .int16, .uint16, .float16, .bfloat16: 2
    case .int32, .uint32, .float32: 4
    case .float64, .int64, .uint64: 8
    }
  }

  /// Its place in the writers' order.
  var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// A Swift type whose memory is that of a tensor's elements. No value is converted on the way.
///
/// `UInt8` also reads truth values, since any byte is a valid `UInt8`.
public protocol SafetensorsElement: BitwiseCopyable, Sendable {
  /// The element type that stands for this type.
  static var safetensorsType: SafetensorsType { get }
}

extension Float: SafetensorsElement {
  /// `F32`.
  public static var safetensorsType: SafetensorsType { .float32 }
}

extension Double: SafetensorsElement {
  /// `F64`.
  public static var safetensorsType: SafetensorsType { .float64 }
}

extension Half: SafetensorsElement {
  /// `F16`.
  public static var safetensorsType: SafetensorsType { .float16 }
}

extension BFloat16: SafetensorsElement {
  /// `BF16`.
  public static var safetensorsType: SafetensorsType { .bfloat16 }
}

extension Int32: SafetensorsElement {
  /// `I32`.
  public static var safetensorsType: SafetensorsType { .int32 }
}

extension Int64: SafetensorsElement {
  /// `I64`.
  public static var safetensorsType: SafetensorsType { .int64 }
}

extension UInt8: SafetensorsElement {
  /// `U8`.
  public static var safetensorsType: SafetensorsType { .uint8 }
}

extension SafetensorsElement {
  /// Whether elements of `type` can be read as this type.
  static func reads(_ type: SafetensorsType) -> Bool {
    type == safetensorsType || (type == .bool && safetensorsType == .uint8)
  }
}
