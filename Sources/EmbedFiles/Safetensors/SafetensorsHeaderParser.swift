// Reads the JSON in a safetensors header: an object of objects with three known keys, and an object
// of strings. Total on any bytes, without recursion; anything else is an error that names its
// offset in the file. Keys are compared as bytes, because String's equality would join names that
// Unicode calls equivalent. As in the reference library, further keys of a tensor are passed over
// and the texts may be null; a name that is given twice is refused, where the reference takes one.

/// A reader of one header's text.
struct SafetensorsHeaderParser {
  /// One member of the header, as it stands there.
  struct Entry {
    var name: String
    var type: SafetensorsType
    var shape: [Int]
    var start: Int
    var end: Int
  }

  private let path: String
  private let text: [UInt8]
  private let textOffset: Int
  private var position = 0

  private(set) var entries: [Entry] = []
  private(set) var metadata: [String: String] = [:]

  /// - Parameter offset: Where `text` begins in the file.
  init(path: String, text: [UInt8], offset: Int) {
    self.path = path
    self.text = text
    self.textOffset = offset
  }

  /// Reads the whole text.
  mutating func parse() throws(SafetensorsError) {
    var names = Set<[UInt8]>()
    try object { (parser, key) throws(SafetensorsError) in
      guard names.insert(Array(key.utf8)).inserted else {
        throw .duplicateName(path: parser.path, name: key)
      }
      if key == "__metadata__" {
        try parser.readMetadata()
      } else {
        try parser.readEntry(key)
      }
    }
    skipSpace()
    guard position == text.count else { throw malformed("nothing but spaces after the object") }
  }

  // MARK: Members

  private mutating func readMetadata() throws(SafetensorsError) {
    if take("null") { return }
    var keys = Set<[UInt8]>()
    try object { (parser, key) throws(SafetensorsError) in
      guard keys.insert(Array(key.utf8)).inserted else {
        throw .duplicateName(path: parser.path, name: key)
      }
      parser.metadata[key] = try parser.string("a string")
    }
  }

  private mutating func readEntry(_ name: String) throws(SafetensorsError) {
    var type: SafetensorsType?
    var shape: [Int]?
    var offsets: [Int]?
    try object { (parser, key) throws(SafetensorsError) in
      switch key {
      case "dtype" where type == nil:
        type = SafetensorsType(rawValue: try parser.string("a type's name"))
      case "shape" where shape == nil:
        shape = try parser.integers()
      case "data_offsets" where offsets == nil:
        offsets = try parser.integers()
        guard offsets?.count == 2 else { throw parser.malformed("two offsets before this") }
      case "dtype", "shape", "data_offsets":
        throw .duplicateName(path: parser.path, name: key)
      default:
        try parser.skipValue()
      }
    }
    guard let type else { throw malformed("a 'dtype' before this") }
    guard let shape else { throw malformed("a 'shape' before this") }
    guard let offsets else { throw malformed("'data_offsets' before this") }
    entries.append(
      Entry(name: name, type: type, shape: shape, start: offsets[0], end: offsets[1]))
  }

  // MARK: Values

  /// An object, whose values `member` reads.
  private mutating func object(
    _ member: (inout SafetensorsHeaderParser, String) throws(SafetensorsError) -> Void
  ) throws(SafetensorsError) {
    try expect("{")
    if take("}") { return }
    repeat {
      let key = try string("a key")
      try expect(":")
      try member(&self, key)
    } while take(",")
    try expect("}")
  }

  /// Passes over a value of any kind.
  private mutating func skipValue() throws(SafetensorsError) {
    var closers: [String] = []
    repeat {
      if closers.last == "}" {
        _ = try string("a key")
        try expect(":")
      }
      if let closer = take("{") ? "}" : take("[") ? "]" : nil {
        guard closers.count < Self.maximumDepth else {
          throw malformed("at most \(Self.maximumDepth) levels")
        }
        if !take(closer) {
          closers.append(closer)
          continue
        }
      } else {
        try skipScalar()
      }
      while let closer = closers.last, !take(",") {
        try expect(closer)
        closers.removeLast()
      }
    } while !closers.isEmpty
  }

  /// Levels of a value that is passed over: those that the reference library allows.
  private static let maximumDepth = 125

  private mutating func skipScalar() throws(SafetensorsError) {
    skipSpace()
    guard position < text.count, text[position] != UInt8(ascii: "\"") else {
      _ = try string("a value")
      return
    }
    if take("null") || take("true") || take("false") { return }
    let start = position
    _ = take("-")
    let whole = digits()
    // JSON knows no leading zeros.
    var isNumber = whole.count == 1 || (whole.count > 1 && text[whole.lowerBound] != 0x30)
    if take(".", skippingSpace: false) { isNumber = isNumber && !digits().isEmpty }
    if take("e", skippingSpace: false) || take("E", skippingSpace: false) {
      _ = take("+", skippingSpace: false) || take("-", skippingSpace: false)
      isNumber = isNumber && !digits().isEmpty
    }
    // One that no Double holds is refused, as in the reference library.
    guard isNumber,
      Double(String(decoding: text[start..<position], as: UTF8.self))?.isFinite == true
    else {
      position = start
      throw malformed("a value")
    }
  }

  /// Steps over digits; where they are.
  private mutating func digits() -> Range<Int> {
    let start = position
    while position < text.count, (0x30...0x39).contains(text[position]) { position += 1 }
    return start..<position
  }

  private mutating func integers() throws(SafetensorsError) -> [Int] {
    var values: [Int] = []
    try expect("[")
    if take("]") { return values }
    repeat { values.append(try integer()) } while take(",")
    try expect("]")
    return values
  }

  private mutating func integer() throws(SafetensorsError) -> Int {
    skipSpace()
    let start = position
    var value = 0
    while position < text.count, (0x30...0x39).contains(text[position]) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int(text[position] - 0x30))
      guard !overflow, !carry else {
        position = start
        throw malformed("a number that fits in 63 bits")
      }
      value = sum
      position += 1
    }
    guard position > start else { throw malformed("a number of zero or more") }
    // JSON knows no leading zeros.
    if position - start > 1, text[start] == 0x30 {
      position = start
      throw malformed("a number without leading zeros")
    }
    return value
  }

  private mutating func string(_ expected: String) throws(SafetensorsError) -> String {
    guard take("\"") else { throw malformed("\(expected) in quotes") }
    let start = position
    var bytes: [UInt8] = []
    while position < text.count {
      let byte = text[position]
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let string = String(validating: bytes, as: UTF8.self) else {
          position = start
          throw malformed("\(expected) in UTF-8")
        }
        return string
      case UInt8(ascii: "\\"): try escape(into: &bytes)
      case 0..<0x20:
        position -= 1
        throw malformed("no control character")
      default: bytes.append(byte)
      }
    }
    throw malformed("\(expected) with a closing quote")
  }

  private mutating func escape(into bytes: inout [UInt8]) throws(SafetensorsError) {
    let byte = position < text.count ? text[position] : 0
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
    case UInt8(ascii: "b"): bytes.append(0x08)
    case UInt8(ascii: "f"): bytes.append(0x0C)
    case UInt8(ascii: "n"): bytes.append(0x0A)
    case UInt8(ascii: "r"): bytes.append(0x0D)
    case UInt8(ascii: "t"): bytes.append(0x09)
    case UInt8(ascii: "u"):
      var value = try hexadecimal()
      if (0xD800..<0xDC00).contains(value), take("\\u", skippingSpace: false) {
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else {
          throw malformed("a low surrogate before this")
        }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw malformed("no unpaired surrogate") }
      bytes.append(contentsOf: String(Character(scalar)).utf8)
    default:
      position -= 1
      throw malformed("a known escape")
    }
  }

  private mutating func hexadecimal() throws(SafetensorsError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard position < text.count,
        let digit = Character(Unicode.Scalar(text[position])).hexDigitValue
      else { throw malformed("four hexadecimal digits") }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  // MARK: Characters

  private mutating func skipSpace() {
    while position < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) {
      position += 1
    }
  }

  /// Steps over `token` if it comes next.
  private mutating func take(_ token: String, skippingSpace: Bool = true) -> Bool {
    if skippingSpace { skipSpace() }
    guard position <= text.count, text[position...].starts(with: token.utf8) else { return false }
    position += token.utf8.count
    return true
  }

  private mutating func expect(_ token: String) throws(SafetensorsError) {
    guard take(token) else { throw malformed("'\(token)'") }
  }

  private func malformed(_ expected: String) -> SafetensorsError {
    .malformedHeader(
      path: path, offset: textOffset + min(position, text.count), expected: expected)
  }
}
