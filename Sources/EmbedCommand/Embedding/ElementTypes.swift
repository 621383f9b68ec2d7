// Element types by the names that options, NumPy and safetensors have for them, and from one to another.

internal import EmbedKernel

extension OptionKind where Value == ElementType {
  /// The element types by the names that NumPy has for them.
  static var elementType: Self {
    choice([("float32", .float32), ("bfloat16", .bfloat16), ("float16", .float16)])
  }
}

extension SafetensorsType {
  /// The type that stands for NumPy's.
  init(_ type: NumPyElementType) {
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

  /// NumPy's name of the type, where it has one that elements can be read as.
  var numPyType: NumPyElementType? {
    NumPyElementType.allCases.first { SafetensorsType($0) == self }
  }
}

/// A truth value, a byte.
struct TruthValue: NumPyElement {
  var byte: UInt8

  static var numPyType: NumPyElementType { .bool }
}

extension NumPyElementType {
  /// The type whose memory is that of the elements.
  var element: any NumPyElement.Type {
    switch self {
    case .float32: Float.self
    case .float64: Double.self
    case .float16: Half.self
    case .bfloat16: BFloat16.self
    case .int8: Int8.self
    case .int16: Int16.self
    case .int32: Int32.self
    case .int64: Int64.self
    case .uint8: UInt8.self
    case .uint16: UInt16.self
    case .uint32: UInt32.self
    case .uint64: UInt64.self
    case .bool: TruthValue.self
    }
  }
}
