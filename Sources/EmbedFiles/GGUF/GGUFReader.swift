// Reads the parts of a GGUF header one after the other. How long a header is stands nowhere, so it is read
// in windows of 64 KiB; what says how much follows is held against what is left of the file before any
// memory is taken for it.

/// The place in a file where reading goes on.
struct GGUFReader: ~Copyable {
  let file: InputFile
  private(set) var offset = 0
  private var window: [UInt8] = []
  private var windowStart = 0

  /// Levels of arrays in arrays; ggml itself reads one.
  private static let levels = 8

  init(_ file: consuming InputFile) { self.file = file }

  /// Bytes of the file after this place.
  var left: Int { max(0, file.byteCount - offset) }

  // MARK: Parts

  /// - Parameter what: What the integer is, for the error.
  mutating func integer<Value: FixedWidthInteger>(
    _ what: @autoclosure () -> String, as type: Value.Type = Value.self
  ) throws(GGUFError) -> Value {
    let size = Value.bitWidth / 8
    if windowStart + window.count < offset + size {
      window = try GGUFError.wrapping(try file.bytes(at: offset, count: 1 << 16))
      windowStart = offset
      guard window.count >= size else {
        throw .truncated(
          path: file.path, offset: offset, what: what(), needed: size, left: window.count)
      }
    }
    let start = offset - windowStart
    offset += size
    return Value(littleEndianBytes: window[start..<start + size])
  }

  /// How many of something follow, where the file has room for as many.
  ///
  /// - Parameter size: The bytes that each takes at least.
  mutating func count(
    _ what: @autoclosure () -> String, size: Int
  ) throws(GGUFError) -> Int {
    let start = offset
    let count: UInt64 = try integer(what())
    guard count <= UInt64(left / size) else {
      throw .count(path: file.path, offset: start, what: what(), found: count, left: left)
    }
    return Int(count)
  }

  /// The next bytes.
  mutating func bytes(
    _ count: Int, _ what: @autoclosure () -> String
  ) throws(GGUFError) -> [UInt8] {
    let start = offset - windowStart
    let inWindow = start >= 0 && count <= window.count - start
    let bytes =
      inWindow
      ? Array(window[start..<start + count])
      : try GGUFError.wrapping(try file.bytes(at: offset, count: count))
    guard bytes.count == count else {
      throw .truncated(
        path: file.path, offset: offset, what: what(), needed: count, left: bytes.count)
    }
    offset += count
    return bytes
  }

  /// A text, which must be UTF-8.
  mutating func text(_ what: @autoclosure () -> String) throws(GGUFError) -> String {
    let count = try count(what() + ", its bytes", size: 1)
    let start = offset
    let bytes = try bytes(count, what())
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw .malformed(
        path: file.path, offset: start, what: what(), expected: "a text in UTF-8",
        found: String(decoding: bytes, as: UTF8.self).inQuotes)
    }
    return text
  }

  // MARK: Values

  /// The value of a key, its type first.
  mutating func value(of key: String) throws(GGUFError) -> GGUFValue {
    let what = "the value of \(key.inQuotes)"
    let type = try valueType(what)
    switch type {
    case .uint8: return .uint8(try integer(what))
    case .int8: return .int8(try integer(what))
    case .uint16: return .uint16(try integer(what))
    case .int16: return .int16(try integer(what))
    case .uint32: return .uint32(try integer(what))
    case .int32: return .int32(try integer(what))
    case .float32: return .float32(Float(bitPattern: try integer(what)))
    case .uint64: return .uint64(try integer(what))
    case .int64: return .int64(try integer(what))
    case .float64: return .float64(Double(bitPattern: try integer(what)))
    case .bool:
      let byte: UInt8 = try integer(what)
      try check(bool: byte, at: offset - 1, what)
      return .bool(byte == 1)
    case .string: return .string(try text(what))
    case .array:
      let type = try valueType(what + ", its elements' type")
      let count = try count(what + ", its elements", size: type.minimumByteCount)
      var bytes: [UInt8] = []
      try elements(type, count, what, level: 1, into: &bytes)
      return .array(GGUFArray(type, count: count, bytes: bytes))
    }
  }

  private mutating func valueType(_ what: String) throws(GGUFError) -> GGUFValueType {
    let code: UInt32 = try integer(what)
    guard let type = GGUFValueType(rawValue: code) else {
      throw .malformed(
        path: file.path, offset: offset - 4, what: what,
        expected: "a type of values, 0 to \(GGUFValueType.allCases.count - 1)", found: "\(code)")
    }
    return type
  }

  /// Appends the bytes of an array's elements, each found to be complete.
  private mutating func elements(
    _ type: GGUFValueType, _ count: Int, _ what: String, level: Int, into all: inout [UInt8]
  ) throws(GGUFError) {
    guard !type.isFixed else {
      let start = offset
      let more = try bytes(count * type.minimumByteCount, what)
      if type == .bool {
        for (i, byte) in more.enumerated() { try check(bool: byte, at: start + i, what) }
      }
      all += more
      return
    }
    guard type == .array else {
      for i in 0..<count {
        let size = try self.count("\(what), text \(i), its bytes", size: 1)
        all += UInt64(size).littleEndianBytes
        all += try bytes(size, "\(what), text \(i)")
      }
      return
    }
    guard level < Self.levels else {
      throw .malformed(
        path: file.path, offset: offset, what: what,
        expected: "arrays of at most \(Self.levels) levels", found: "one more")
    }
    for _ in 0..<count {
      let type = try valueType(what + ", an element's type")
      let count = try self.count(what + ", an element's elements", size: type.minimumByteCount)
      all += type.rawValue.littleEndianBytes + UInt64(count).littleEndianBytes
      try elements(type, count, what, level: level + 1, into: &all)
    }
  }

  private func check(bool byte: UInt8, at offset: Int, _ what: String) throws(GGUFError) {
    guard byte < 2 else {
      throw .malformed(
        path: file.path, offset: offset, what: what, expected: "a truth value, 0 or 1",
        found: "\(byte)")
    }
  }
}
