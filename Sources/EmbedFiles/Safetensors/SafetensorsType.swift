// The element types of a safetensors file and the Swift types that stand for them.

/// An element type as a safetensors header names it.
///
/// A tensor of a type that no Swift type here stands for is listed and its bytes can be read; it is
/// refused where its elements are asked for.
public enum SafetensorsType: Hashable, Sendable {
  /// Truth values, a byte each.
  case bool
  /// Four-bit floats, two in a byte.
  case float4
  /// Six-bit floats with three bits of fraction.
  case float6e2m3
  /// Six-bit floats with two bits of fraction.
  case float6e3m2
  /// Unsigned bytes.
  case uint8
  /// Signed bytes.
  case int8
  /// Eight-bit floats with two bits of fraction.
  case float8e5m2
  /// Eight-bit floats with three bits of fraction.
  case float8e4m3
  /// Powers of two in eight bits, the scales of smaller floats.
  case float8e8m0
  /// Eight-bit floats with three bits of fraction, without infinities and negative zero.
  case float8e4m3fnuz
  /// Eight-bit floats with two bits of fraction, without infinities and negative zero.
  case float8e5m2fnuz
  /// Signed 16-bit integers.
  case int16
  /// Unsigned 16-bit integers.
  case uint16
  /// IEEE half precision.
  case float16
  /// bfloat16.
  case bfloat16
  /// Signed 32-bit integers.
  case int32
  /// Unsigned 32-bit integers.
  case uint32
  /// IEEE single precision.
  case float32
  /// Pairs of floats.
  case complex64
  /// IEEE double precision.
  case float64
  /// Signed 64-bit integers.
  case int64
  /// Unsigned 64-bit integers.
  case uint64
  /// A type that this version does not know, by its name.
  case other(String)

  /// The known types with their names and bits, in the order in which writers sort: that of the
  /// reference library, whose alignment rises.
  private static let known: [(type: SafetensorsType, name: String, bits: Int)] = [
    (.bool, "BOOL", 8), (.float4, "F4", 4), (.float6e2m3, "F6_E2M3", 6),
    (.float6e3m2, "F6_E3M2", 6),
    (.uint8, "U8", 8), (.int8, "I8", 8), (.float8e5m2, "F8_E5M2", 8), (.float8e4m3, "F8_E4M3", 8),
    (.float8e8m0, "F8_E8M0", 8), (.float8e4m3fnuz, "F8_E4M3FNUZ", 8),
    (.float8e5m2fnuz, "F8_E5M2FNUZ", 8), (.int16, "I16", 16), (.uint16, "U16", 16),
    (.float16, "F16", 16), (.bfloat16, "BF16", 16), (.int32, "I32", 32), (.uint32, "U32", 32),
    (.float32, "F32", 32), (.complex64, "C64", 64), (.float64, "F64", 64), (.int64, "I64", 64),
    (.uint64, "U64", 64),
  ]

  /// The type of this name.
  public init(rawValue: String) {
    self = Self.known.first { $0.name == rawValue }?.type ?? .other(rawValue)
  }

  /// The type's name in a header.
  public var rawValue: String {
    if case .other(let name) = self { return name }
    return Self.known[rank].name
  }

  /// Bits an element takes; nil for a type that is not known.
  public var bitCount: Int? { rank < 0 ? nil : Self.known[rank].bits }

  /// Bytes an element takes; nil where several share a byte, and for a type that is not known.
  public var byteCount: Int? { bitCount.flatMap { $0.isMultiple(of: 8) ? $0 / 8 : nil } }

  /// Bytes that `count` elements take; nil where they fill no whole bytes, are more than an `Int`
  /// counts, or of a type that is not known.
  package func byteCount(of count: Int) -> Int? {
    guard let bits = bitCount else { return nil }
    let sharesBytes = !bits.isMultiple(of: 8)
    let (product, overflow) = count.multipliedReportingOverflow(by: sharesBytes ? bits : bits / 8)
    guard !overflow, !sharesBytes || product.isMultiple(of: 8) else { return nil }
    return sharesBytes ? product / 8 : product
  }

  /// What its elements' places must be a multiple of to be read where they are.
  var alignment: Int {
    switch self {
    case .int16, .uint16, .float16, .bfloat16: 2
    case .int32, .uint32, .float32: 4
    case .float64, .int64, .uint64: 8
    default: 1
    }
  }

  /// Its place in the writers' order; below 0 for a type that is not known.
  var rank: Int { Self.known.firstIndex { $0.type == self } ?? -1 }
}

extension SafetensorsType {
  /// The type that stands for NumPy's.
  package init(_ type: NumPyElementType) {
    switch type {
    case .bool: self = .bool
    case .uint8: self = .uint8
    case .int8: self = .int8
    case .int16: self = .int16
    case .uint16: self = .uint16
    case .float16: self = .float16
    case .bfloat16: self = .bfloat16
    case .int32: self = .int32
    case .uint32: self = .uint32
    case .float32: self = .float32
    case .float64: self = .float64
    case .int64: self = .int64
    case .uint64: self = .uint64
    }
  }

  /// NumPy's type of the same elements, where there is one.
  package var numPyType: NumPyElementType? {
    NumPyElementType.allCases.first { SafetensorsType($0) == self }
  }
}
