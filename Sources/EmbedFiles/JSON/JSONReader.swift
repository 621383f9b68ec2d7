// The one reader of JSON text: a cursor that gives an object's members and an array's elements as they
// come, so that headers of many megabytes need no tree. `JSONValue` is a tree read by it.
//
// It is total: any bytes give values or an error that names the place. Of numbers it takes what Python's
// `json` writes, also NaN, Infinity and -Infinity; who needs a finite one checks for it and can name the
// field. Names are for the caller to compare, byte by byte, as String's equality would join those that
// Unicode calls equivalent.

/// What is not JSON, and where.
package struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Bytes before the fault.
  package let offset: Int
  package let expected: String

  package var description: String { "byte \(offset): expected \(expected)" }
}

/// A place in a JSON text.
package struct JSONReader {
  /// Levels of a value: those that the reference library of safetensors allows, and a header's three.
  package static let levels = 128

  private let text: [UInt8]
  /// The bytes before what comes next.
  package private(set) var position = 0
  /// Where the name of the member that is being read begins.
  package private(set) var keyPosition = 0

  package init(_ text: [UInt8]) { self.text = text }

  /// The error that something else was expected here.
  package func fault(_ expected: String) -> JSONError {
    JSONError(offset: min(position, text.count), expected: expected)
  }

  /// Checks that nothing follows.
  package mutating func end(after whole: String) throws(JSONError) {
    skipSpace()
    guard position == text.count else { throw fault("nothing but spaces after \(whole)") }
  }

  // MARK: Values

  /// An object, whose values `member` reads.
  package mutating func object(
    _ member: (inout JSONReader, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    try expect("{")
    if take("}") { return }
    repeat {
      skipSpace()
      keyPosition = position
      let key = try string("a key")
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// An array, whose elements `element` reads.
  package mutating func array(
    _ element: (inout JSONReader) throws(JSONError) -> Void
  ) throws(JSONError) {
    try expect("[")
    if take("]") { return }
    repeat { try element(&self) } while take(",")
    try expect("]")
  }

  /// Steps over null, if it is next.
  package mutating func takeNull() -> Bool {
    skipSpace()
    guard text[position...].starts(with: "null".utf8) else { return false }
    position += 4
    return true
  }

  /// A value of any kind as a tree.
  package mutating func value(levels: Int = levels) throws(JSONError) -> JSONValue {
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"):
      guard levels > 0 else { throw fault("at most \(Self.levels) levels") }
      var members: [JSONMember] = []
      var keys: Set<[UInt8]> = []
      try object { (reader, key) throws(JSONError) in
        guard keys.insert(Array(key.utf8)).inserted else {
          throw JSONError(
            offset: reader.keyPosition, expected: "a name other than \"\(key)\", which is taken")
        }
        members.append(JSONMember(key: key, value: try reader.value(levels: levels - 1)))
      }
      return .object(members)
    case UInt8(ascii: "["):
      guard levels > 0 else { throw fault("at most \(Self.levels) levels") }
      var values: [JSONValue] = []
      try array { (reader) throws(JSONError) in
        values.append(try reader.value(levels: levels - 1))
      }
      return .array(values)
    case UInt8(ascii: "\""): return .string(try string("a value"))
    default: return try scalar()
    }
  }

  /// Passes over a value of any kind, of which numbers must be finite; keeps nothing of it.
  package mutating func skip(levels: Int) throws(JSONError) {
    skipSpace()
    switch peek {
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      guard levels > 0 else { throw fault("fewer levels") }
      if peek == UInt8(ascii: "{") {
        try object { (reader, _) throws(JSONError) in try reader.skip(levels: levels - 1) }
      } else {
        try array { (reader) throws(JSONError) in try reader.skip(levels: levels - 1) }
      }
    case UInt8(ascii: "\""): _ = try string("a value")
    default:
      let start = position
      guard try scalar().double?.isFinite ?? true else {
        throw JSONError(offset: start, expected: "a value")
      }
    }
  }

  /// A number of zero or more, without point and exponent.
  package mutating func wholeNumber() throws(JSONError) -> Int {
    skipSpace()
    let start = position
    let count = skipDigits()
    guard count > 0 else { throw fault("a number of zero or more") }
    guard count == 1 || text[start] != 0x30 else {
      throw JSONError(offset: start, expected: "a number without leading zeros")
    }
    guard let value = Int(String(decoding: text[start..<position], as: UTF8.self)) else {
      throw JSONError(offset: start, expected: "a number that fits in 63 bits")
    }
    return value
  }

  /// Whole numbers.
  package mutating func wholeNumbers() throws(JSONError) -> [Int] {
    var values: [Int] = []
    try array { (reader) throws(JSONError) in values.append(try reader.wholeNumber()) }
    return values
  }

  /// A number or one of the words.
  private mutating func scalar() throws(JSONError) -> JSONValue {
    let start = position
    while let byte = peek, Self.isWordByte(byte) { position += 1 }
    let end = position
    let word = String(decoding: text[start..<end], as: UTF8.self)
    switch word {
    case "null": return .null
    case "true": return .bool(true)
    case "false": return .bool(false)
    case "NaN": return .number(.nan)
    case "Infinity": return .number(.infinity)
    case "-Infinity": return .number(-.infinity)
    default: break
    }
    position = start
    guard skipNumber(), position == end, let number = Double(word) else {
      position = start
      throw fault("a value")
    }
    return Int(word).map { .integer($0) } ?? .number(number)
  }

  private static func isWordByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "+"),
      UInt8(ascii: "."):
      true
    default: false
    }
  }

  /// Steps over a number by JSON's grammar, which is narrower than Swift's; false where there is none.
  private mutating func skipNumber() -> Bool {
    func isNext(_ characters: StaticString) -> Bool {
      peek.map { byte in characters.withUTF8Buffer { unsafe $0.contains(byte) } } ?? false
    }
    if isNext("-") { position += 1 }
    let leadsWithZero = peek == 0x30
    let whole = skipDigits()
    guard whole == 1 || (whole > 1 && !leadsWithZero) else { return false }
    if isNext(".") {
      position += 1
      guard skipDigits() > 0 else { return false }
    }
    if isNext("eE") {
      position += 1
      if isNext("+-") { position += 1 }
      guard skipDigits() > 0 else { return false }
    }
    return true
  }

  /// Steps over digits; how many there were.
  private mutating func skipDigits() -> Int {
    let start = position
    while let byte = peek, byte >= 0x30, byte <= 0x39 { position += 1 }
    return position - start
  }

  // MARK: Strings

  /// A string; errors call it `name`.
  package mutating func string(_ name: String) throws(JSONError) -> String {
    guard take("\"") else { throw fault("\(name) in quotes") }
    let start = position
    var bytes: [UInt8] = []
    while let byte = peek {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: bytes, as: UTF8.self) else {
          throw JSONError(offset: start, expected: "\(name) in UTF-8")
        }
        return string
      case UInt8(ascii: "\\"): try escape(into: &bytes)
      case 0..<0x20:
        position -= 1
        throw fault("no control character")
      default: bytes.append(byte)
      }
    }
    throw fault("\(name) with a closing quote")
  }

  private mutating func escape(into bytes: inout [UInt8]) throws(JSONError) {
    switch peek {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(text[position])
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0C)
    case UInt8(ascii: "n"): bytes.append(0x0A)
    case UInt8(ascii: "r"): bytes.append(0x0D)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "u"):
      position += 1
      var value = try hexadecimal()
      // The first half of a pair, written as two escapes.
      if (0xD800..<0xDC00).contains(value), text[position...].starts(with: "\\u".utf8) {
        position += 2
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw fault("a low surrogate before this") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw fault("no unpaired surrogate") }
      bytes.append(contentsOf: String(Character(scalar)).utf8)
      return
    default: throw fault("a known escape")
    }
    position += 1
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw fault("four hexadecimal digits")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  // MARK: Characters

  private var peek: UInt8? { position < text.count ? text[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      position += 1
    }
  }

  /// Steps over `character` if it is next after any space.
  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
    guard take(character) else { throw fault("'\(character)'") }
  }
}
