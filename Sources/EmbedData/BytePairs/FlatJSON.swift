// Reads a JSON object whose keys are strings and whose values are whole numbers, which is all that
// `encoder.json` is. Total on any bytes: what is not such an object throws with its line. Keys stay
// bytes, because String's equality would join keys that Unicode calls equivalent.

/// One member of the object, with the line it was read from.
struct FlatJSONMember {
  var key: [UInt8]
  var value: Int
  var line: Int
}

/// A cursor over the text of one object.
struct FlatJSONReader {
  private let bytes: ArraySlice<UInt8>
  private let path: String
  private var position: Int
  private var line = 1

  init(_ text: VocabularyText) {
    bytes = text.bytes
    path = text.path
    position = bytes.startIndex
  }

  /// The members in the order of the file; nothing may follow the object.
  mutating func members() throws(DataError) -> [FlatJSONMember] {
    var members: [FlatJSONMember] = []
    try expect("{")
    skipSpace()
    if peek() == UInt8(ascii: "}") {
      position += 1
    } else {
      repeat {
        skipSpace()
        let start = line
        let key = try string()
        try expect(":")
        skipSpace()
        members.append(FlatJSONMember(key: key, value: try number(), line: start))
        skipSpace()
      } while take(UInt8(ascii: ","))
      try expect("}")
    }
    skipSpace()
    guard position == bytes.endIndex else { throw failure("text after the closing brace") }
    return members
  }

  private func failure(_ reason: String) -> DataError {
    .malformedVocabulary(path: path, line: line, reason: reason)
  }

  private func peek() -> UInt8? { position < bytes.endIndex ? bytes[position] : nil }

  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek() == byte else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek(), byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 {
      if byte == 0x0A { line += 1 }
      position += 1
    }
  }

  private mutating func expect(_ character: Unicode.Scalar) throws(DataError) {
    skipSpace()
    guard take(UInt8(truncatingIfNeeded: character.value)) else {
      throw failure("expected '\(character)', found \(found)")
    }
  }

  private var found: String {
    guard let byte = peek() else { return "the end of the file" }
    return (0x21..<0x7F).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "the byte \(byte)"
  }

  private mutating func number() throws(DataError) -> Int {
    let start = position
    var value = 0
    while let byte = peek(), (0x30...0x39).contains(byte) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(Int(byte - 0x30))
      guard !overflow, !carry else { throw failure("an id over \(Int.max)") }
      value = sum
      position += 1
    }
    guard position > start else { throw failure("expected an id, found \(found)") }
    return value
  }

  private mutating func string() throws(DataError) -> [UInt8] {
    guard take(UInt8(ascii: "\"")) else { throw failure("expected a token, found \(found)") }
    var text: [UInt8] = []
    while let byte = peek() {
      position += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard isWellFormed(text) else { throw failure("a token that is not UTF-8") }
        return text
      case UInt8(ascii: "\\"): try escape(into: &text)
      case 0..<0x20: throw failure("a control character in a token")
      default: text.append(byte)
      }
    }
    throw failure("a token without its closing quote")
  }

  private mutating func escape(into text: inout [UInt8]) throws(DataError) {
    let byte = peek()
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte ?? 0)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      var value = try hexadecimal()
      if (0xD800..<0xDC00).contains(value), take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) {
        let low = try hexadecimal()
        guard (0xDC00..<0xE000).contains(low) else { throw failure("an unpaired surrogate") }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(value) else { throw failure("an unpaired surrogate") }
      text.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
    default: throw failure("an unknown escape")
    }
  }

  private mutating func hexadecimal() throws(DataError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek(), let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("expected four hexadecimal digits, found \(found)")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}

private func isWellFormed(_ text: [UInt8]) -> Bool {
  unsafe text.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { return true }
    return unsafe wellFormedEnd(base, 0, buffer.count) == buffer.count
  }
}
