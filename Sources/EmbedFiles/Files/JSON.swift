// A JSON reader, small and total: any bytes give a value or an error that names the place, and
// nothing else happens. It serves headers of checkpoints and a model's `config.json`.
//
// It takes what Python's `json` writes: also NaN, Infinity and -Infinity, which are not JSON but do
// stand in such files; who needs a finite number checks for it and can name the field.

/// A JSON value. Object members keep their order.
package enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  /// A number written without point and exponent that fits in 64 bits.
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([JSONMember])

  /// Reads one value that takes up all of `bytes`.
  ///
  /// Linear in the number of bytes; values nest to a depth of 128.
  package init(parsing bytes: Span<UInt8>) throws(JSONError) {
    var reader = JSONReader(position: 0)
    self = try reader.readDocument(bytes)
  }

  /// Reads one value that takes up all of `text`.
  package init(parsing text: String) throws(JSONError) {
    let bytes = Array(text.utf8)
    try self.init(parsing: bytes.span)
  }

  /// The member named `key` of an object.
  package subscript(key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key == key }?.value
  }

  /// The number, whichever way it was written.
  package var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The value as JSON, for messages.
  package var summary: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .integer(let value): "\(value)"
    case .number(let value): "\(value)"
    case .string(let value): "\"\(value)\""
    case .array(let values): "an array of \(values.count)"
    case .object(let members): "an object of \(members.count) members"
    }
  }
}

/// A member of an object.
package struct JSONMember: Equatable, Sendable {
  package let key: String
  package let value: JSONValue

  package init(key: String, value: JSONValue) {
    self.key = key
    self.value = value
  }
}

/// What is not JSON, and where.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Bytes before the fault.
  package let offset: Int
  package let expected: String

  package var description: String { "byte \(offset): expected \(expected)" }
}

private struct JSONReader {
  var position: Int

  private static let maximumDepth = 128

  mutating func readDocument(_ bytes: Span<UInt8>) throws(JSONError) -> JSONValue {
    let value = try readValue(bytes, depth: 0)
    skipSpace(bytes)
    guard position == bytes.count else { throw fault("the end of the text") }
    return value
  }

  private func fault(_ expected: String) -> JSONError {
    JSONError(offset: position, expected: expected)
  }

  private func peek(_ bytes: Span<UInt8>) -> UInt8? {
    position < bytes.count ? bytes[position] : nil
  }

  private mutating func skipSpace(_ bytes: Span<UInt8>) {
    while let byte = peek(bytes), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  /// Steps over `byte` if it is next after any space.
  private mutating func take(_ byte: Unicode.Scalar, _ bytes: Span<UInt8>) -> Bool {
    skipSpace(bytes)
    guard let next = peek(bytes), UInt32(next) == byte.value else { return false }
    position += 1
    return true
  }

  private mutating func readValue(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) -> JSONValue {
    skipSpace(bytes)
    guard depth < Self.maximumDepth else { throw fault("at most \(Self.maximumDepth) levels") }
    switch peek(bytes) {
    case UInt8(ascii: "{"): return try readObject(bytes, depth: depth + 1)
    case UInt8(ascii: "["): return try readArray(bytes, depth: depth + 1)
    case UInt8(ascii: "\""): return .string(try readString(bytes))
    default: return try readScalar(bytes)
    }
  }

  private mutating func readObject(
    _ bytes: Span<UInt8>, depth: Int
  ) throws(JSONError) -> JSONValue {
    position += 1
    var members: [JSONMember] = []
    var keys: Set<String> = []
    if take("}", bytes) { return .object(members) }
    while true {
      skipSpace(bytes)
      guard peek(bytes) == UInt8(ascii: "\"") else { throw fault("a member's name") }
      let start = position
      let key = try readString(bytes)
      guard keys.insert(key).inserted else {
        throw JSONError(offset: start, expected: "a name other than \"\(key)\", which is taken")
      }
      guard take(":", bytes) else { throw fault("':'") }
      members.append(JSONMember(key: key, value: try readValue(bytes, depth: depth)))
      if take("}", bytes) { return .object(members) }
      guard take(",", bytes) else { throw fault("',' or '}'") }
    }
  }

  private mutating func readArray(_ bytes: Span<UInt8>, depth: Int) throws(JSONError) -> JSONValue {
    position += 1
    var values: [JSONValue] = []
    if take("]", bytes) { return .array(values) }
    while true {
      values.append(try readValue(bytes, depth: depth))
      if take("]", bytes) { return .array(values) }
      guard take(",", bytes) else { throw fault("',' or ']'") }
    }
  }

  /// A number or one of the words.
  private mutating func readScalar(_ bytes: Span<UInt8>) throws(JSONError) -> JSONValue {
    let start = position
    var word = ""
    while let byte = peek(bytes), isWordByte(byte), word.utf8.count < 400 {
      word.unicodeScalars.append(Unicode.Scalar(byte))
      position += 1
    }
    switch word {
    case "null": return .null
    case "true": return .bool(true)
    case "false": return .bool(false)
    case "NaN": return .number(.nan)
    case "Infinity": return .number(.infinity)
    case "-Infinity": return .number(-.infinity)
    default: break
    }
    guard isNumber(Array(word.utf8)), let number = Double(word) else {
      position = start
      throw fault("a value")
    }
    return Int(word).map { .integer($0) } ?? .number(number)
  }

  private func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "+"),
      UInt8(ascii: "."):
      true
    default: false
    }
  }

  /// JSON's grammar of numbers, which is narrower than Swift's.
  private func isNumber(_ word: [UInt8]) -> Bool {
    var i = 0
    func digits() -> Int {
      let first = i
      while i < word.count, word[i] >= 0x30, word[i] <= 0x39 { i += 1 }
      return i - first
    }
    if i < word.count, word[i] == UInt8(ascii: "-") { i += 1 }
    let leadsWithZero = i < word.count && word[i] == 0x30
    let whole = digits()
    guard whole == 1 || (whole > 1 && !leadsWithZero) else { return false }
    if i < word.count, word[i] == UInt8(ascii: ".") {
      i += 1
      guard digits() > 0 else { return false }
    }
    if i < word.count, word[i] == UInt8(ascii: "e") || word[i] == UInt8(ascii: "E") {
      i += 1
      if i < word.count, word[i] == UInt8(ascii: "-") || word[i] == UInt8(ascii: "+") { i += 1 }
      guard digits() > 0 else { return false }
    }
    return i == word.count
  }

  private mutating func readString(_ bytes: Span<UInt8>) throws(JSONError) -> String {
    let start = position
    position += 1
    var text: [UInt8] = []
    while let byte = peek(bytes) {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: text, as: UTF8.self) else {
          throw JSONError(offset: start, expected: "a string of valid UTF-8")
        }
        return string
      case UInt8(ascii: "\\"): text.append(contentsOf: try readEscape(bytes).utf8)
      case 0..<0x20:
        position -= 1
        throw fault("control characters to be escaped")
      default: text.append(byte)
      }
    }
    throw fault("the end of the string that starts at byte \(start)")
  }

  private mutating func readEscape(_ bytes: Span<UInt8>) throws(JSONError) -> String {
    let escape = peek(bytes)
    position += 1
    switch escape {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{C}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"):
      let first = try readCodeUnit(bytes)
      if let scalar = Unicode.Scalar(first) { return String(Character(scalar)) }
      // The first half of a pair, written as two escapes.
      guard first < 0xDC00, peek(bytes) == UInt8(ascii: "\\") else {
        throw fault("the second half of a surrogate pair")
      }
      position += 1
      guard peek(bytes) == UInt8(ascii: "u") else {
        throw fault("the second half of a surrogate pair")
      }
      position += 1
      let second = try readCodeUnit(bytes)
      guard second >= 0xDC00, second < 0xE000,
        let scalar = Unicode.Scalar(
          0x10000 + (UInt32(first) - 0xD800) << 10 + UInt32(second) - 0xDC00)
      else { throw fault("the second half of a surrogate pair") }
      return String(Character(scalar))
    default:
      position -= 1
      throw fault("an escape: one of \" \\ / b f n r t u")
    }
  }

  private mutating func readCodeUnit(_ bytes: Span<UInt8>) throws(JSONError) -> UInt16 {
    var unit: UInt16 = 0
    for _ in 0..<4 {
      guard let byte = peek(bytes), let digit = Character(Unicode.Scalar(byte)).hexDigitValue
      else { throw fault("four hexadecimal digits") }
      unit = unit << 4 | UInt16(digit)
      position += 1
    }
    return unit
  }
}
