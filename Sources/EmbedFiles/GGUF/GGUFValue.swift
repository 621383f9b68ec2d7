// What GGUF files say about themselves: values by keys, numbers, texts and arrays of either. An array is
// kept as the bytes that it has in the file, for a vocabulary has 100,000 texts that few will ask for.

/// What kind of value a key has.
public enum GGUFValueType: UInt32, CaseIterable, Sendable {
  /// An unsigned byte.
  case uint8
  /// A signed byte.
  case int8
  /// An unsigned 16-bit integer.
  case uint16
  /// A signed 16-bit integer.
  case int16
  /// An unsigned 32-bit integer.
  case uint32
  /// A signed 32-bit integer.
  case int32
  /// IEEE single precision.
  case float32
  /// A truth value.
  case bool
  /// A text.
  case string
  /// An array.
  case array
  /// An unsigned 64-bit integer.
  case uint64
  /// A signed 64-bit integer.
  case int64
  /// IEEE double precision.
  case float64

  /// Bytes of a value; of a text and an array, those of an empty one.
  var minimumByteCount: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64, .string: 8
    case .array: 12
    }
  }

  /// Whether all values take the same bytes.
  var isFixed: Bool { self != .string && self != .array }
}

/// A value that a key has.
public enum GGUFValue: Equatable, Sendable {
  /// An unsigned byte.
  case uint8(UInt8)
  /// A signed byte.
  case int8(Int8)
  /// An unsigned 16-bit integer.
  case uint16(UInt16)
  /// A signed 16-bit integer.
  case int16(Int16)
  /// An unsigned 32-bit integer.
  case uint32(UInt32)
  /// A signed 32-bit integer.
  case int32(Int32)
  /// IEEE single precision.
  case float32(Float)
  /// A truth value.
  case bool(Bool)
  /// A text.
  case string(String)
  /// An array.
  case array(GGUFArray)
  /// An unsigned 64-bit integer.
  case uint64(UInt64)
  /// A signed 64-bit integer.
  case int64(Int64)
  /// IEEE double precision.
  case float64(Double)

  /// What kind of value it is.
  public var type: GGUFValueType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string: .string
    case .array: .array
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    }
  }

  /// The value as a file has it.
  var bytes: [UInt8] {
    switch self {
    case .uint8(let value): value.littleEndianBytes
    case .int8(let value): value.littleEndianBytes
    case .uint16(let value): value.littleEndianBytes
    case .int16(let value): value.littleEndianBytes
    case .uint32(let value): value.littleEndianBytes
    case .int32(let value): value.littleEndianBytes
    case .float32(let value): value.bitPattern.littleEndianBytes
    case .bool(let value): [value ? 1 : 0]
    case .string(let value): value.ggufBytes
    case .array(let value):
      value.type.rawValue.littleEndianBytes + UInt64(value.count).littleEndianBytes + value.bytes
    case .uint64(let value): value.littleEndianBytes
    case .int64(let value): value.littleEndianBytes
    case .float64(let value): value.bitPattern.littleEndianBytes
    }
  }
}

/// Values of one kind.
public struct GGUFArray: Hashable, Sendable {
  /// What kind of values.
  public let type: GGUFValueType
  /// How many.
  public let count: Int
  /// The values as a file has them, one after the other.
  public let bytes: [UInt8]

  /// Values as they were found in a file, complete.
  init(_ type: GGUFValueType, count: Int, bytes: [UInt8]) {
    self.type = type
    self.count = count
    self.bytes = bytes
  }

  /// An array of these values, which must be of the type.
  public init(_ type: GGUFValueType, _ values: [GGUFValue]) {
    precondition(values.allSatisfy { $0.type == type }, "values of another type than the array's")
    self.init(type, count: values.count, bytes: values.flatMap(\.bytes))
  }

  /// The first `limit` values; all without one. Of a text, bytes that are no UTF-8 become U+FFFD.
  ///
  /// Allocates the values.
  public func values(_ limit: Int = .max) -> [GGUFValue] {
    var values: [GGUFValue] = []
    var offset = 0
    for _ in 0..<min(count, limit) { values.append(Self.value(type, bytes, &offset)) }
    return values
  }

  /// The value that stands at `offset`, which moves past it.
  private static func value(
    _ type: GGUFValueType, _ bytes: [UInt8], _ offset: inout Int
  ) -> GGUFValue {
    func integer<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) -> Value {
      defer { offset += Value.bitWidth / 8 }
      return Value(littleEndianBytes: bytes[offset..<offset + Value.bitWidth / 8])
    }
    switch type {
    case .uint8: return .uint8(integer())
    case .int8: return .int8(integer())
    case .uint16: return .uint16(integer())
    case .int16: return .int16(integer())
    case .uint32: return .uint32(integer())
    case .int32: return .int32(integer())
    case .float32: return .float32(Float(bitPattern: integer()))
    case .bool: return .bool(integer(UInt8.self) != 0)
    case .uint64: return .uint64(integer())
    case .int64: return .int64(integer())
    case .float64: return .float64(Double(bitPattern: integer()))
    case .string:
      let count = Int(clamping: integer(UInt64.self))
      defer { offset += count }
      return .string(String(decoding: bytes[offset..<offset + count], as: UTF8.self))
    case .array:
      let type = GGUFValueType(rawValue: integer()) ?? .uint8
      let count = Int(clamping: integer(UInt64.self))
      let start = offset
      for _ in 0..<count {
        // The next one's place, by the sizes alone.
        if type.isFixed {
          offset += type.minimumByteCount
        } else {
          _ = value(type, bytes, &offset)
        }
      }
      return .array(GGUFArray(type, count: count, bytes: Array(bytes[start..<offset])))
    }
  }
}

/// A key and its value.
public struct GGUFMetadata: Equatable, Sendable {
  /// The key, such as `general.architecture`.
  public var key: String
  /// The value.
  public var value: GGUFValue

  /// A key and its value.
  public init(_ key: String, _ value: GGUFValue) {
    self.key = key
    self.value = value
  }
}

extension FixedWidthInteger {
  /// The integer, its lowest byte first.
  var littleEndianBytes: [UInt8] {
    (0..<Self.bitWidth / 8).map { UInt8(truncatingIfNeeded: self >> (8 * $0)) }
  }

  /// The integer of these bytes, the lowest first.
  init(littleEndianBytes bytes: some BidirectionalCollection<UInt8>) {
    self = bytes.reversed().reduce(0) { $0 << 8 | Self(truncatingIfNeeded: $1) }
  }
}

extension String {
  /// The text as a GGUF file has it: how many bytes, then they.
  var ggufBytes: [UInt8] { UInt64(utf8.count).littleEndianBytes + Array(utf8) }
}
