// Reads the Python dictionary in a `.npy` header: strings, truth values and a tuple of integers.
//
// Only what NumPy's own reader takes for plain arrays is known: the keys descr, fortran_order and
// shape, once each, in any order. Anything else is an error that names its offset in the file.

/// A reader of one header's text.
struct NumPyHeaderParser {
  /// What the dictionary says.
  struct Fields {
    var descriptor: String
    var isFortranOrder: Bool
    var shape: [Int]
  }

  private let path: String
  private let text: [UInt8]
  /// Where `text` begins in the file.
  private let textOffset: Int
  private var position = 0

  init(path: String, text: [UInt8], offset: Int) {
    self.path = path
    self.text = text
    self.textOffset = offset
  }

  /// Reads the whole text.
  mutating func parse() throws(NumPyError) -> Fields {
    var descriptor: String?
    var isFortranOrder: Bool?
    var shape: [Int]?

    try expect("{")
    while !take("}") {
      skipSpace()
      let keyPosition = position
      switch try string(expected: "a key") {
      case "descr" where descriptor == nil:
        try expect(":")
        descriptor = try elementDescriptor()
      case "fortran_order" where isFortranOrder == nil:
        try expect(":")
        isFortranOrder = try truthValue()
      case "shape" where shape == nil:
        try expect(":")
        shape = try tuple()
      default:
        position = keyPosition
        throw malformed("'descr', 'fortran_order' and 'shape', once each")
      }
      if !take(",") {
        try expect("}")
        break
      }
    }
    skipSpace()
    guard position == text.count else { throw malformed("nothing after the dictionary") }
    guard let descriptor else { throw malformed("a key 'descr'") }
    guard let isFortranOrder else { throw malformed("a key 'fortran_order'") }
    guard let shape else { throw malformed("a key 'shape'") }
    return Fields(descriptor: descriptor, isFortranOrder: isFortranOrder, shape: shape)
  }

  // MARK: Values

  /// The element type. One that is no string, such as a record's list of fields, is given as the
  /// text it is, for the error that refuses it.
  private mutating func elementDescriptor() throws(NumPyError) -> String {
    skipSpace()
    guard position < text.count, text[position] != UInt8(ascii: "'"),
      text[position] != UInt8(ascii: "\"")
    else {
      return try string(expected: "an element type")
    }
    throw .unsupportedElementType(
      path: path, descriptor: String(decoding: text[position...], as: UTF8.self))
  }

  private mutating func string(expected: String) throws(NumPyError) -> String {
    skipSpace()
    guard position < text.count else { throw malformed(expected) }
    let quote = text[position]
    guard quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw malformed("\(expected) in quotes")
    }
    let start = position + 1
    guard let end = text[start...].firstIndex(of: quote) else {
      throw malformed("\(expected) with a closing quote")
    }
    position = end + 1
    return String(decoding: text[start..<end], as: UTF8.self)
  }

  private mutating func truthValue() throws(NumPyError) -> Bool {
    if take("True") { return true }
    if take("False") { return false }
    throw malformed("True or False")
  }

  /// A tuple of non-negative integers: `()`, `(3,)`, `(3, 4)`, `(3, 4,)`.
  private mutating func tuple() throws(NumPyError) -> [Int] {
    var values: [Int] = []
    try expect("(")
    while !take(")") {
      values.append(try integer())
      if take(",") { continue }
      // Python's `(3)` is the number, not a tuple.
      guard values.count > 1 else { throw malformed("a comma after a tuple's only dimension") }
      try expect(")")
      break
    }
    return values
  }

  private mutating func integer() throws(NumPyError) -> Int {
    skipSpace()
    let start = position
    var value = 0
    while position < text.count, let digit = Self.digit(text[position]) {
      let (product, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(digit)
      guard !overflow, !carry else {
        position = start
        throw malformed("a dimension that fits in 64 bits")
      }
      value = sum
      position += 1
    }
    guard position > start else { throw malformed("a dimension of zero or more") }
    // Python 2 wrote long integers so.
    _ = take("L")
    return value
  }

  // MARK: Characters

  private static func digit(_ byte: UInt8) -> Int? {
    let zero = UInt8(ascii: "0")
    return byte >= zero && byte <= UInt8(ascii: "9") ? Int(byte - zero) : nil
  }

  private mutating func skipSpace() {
    while position < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[position]) {
      position += 1
    }
  }

  /// Steps over `token` if it comes next, after any space.
  private mutating func take(_ token: StaticString) -> Bool {
    skipSpace()
    let token = Array("\(token)".utf8)
    guard text[position...].starts(with: token) else { return false }
    position += token.count
    return true
  }

  private mutating func expect(_ token: StaticString) throws(NumPyError) {
    guard take(token) else { throw malformed("'\(token)'") }
  }

  private func malformed(_ expected: String) -> NumPyError {
    .malformedHeader(
      path: path, offset: textOffset + position, expected: expected,
      header: String(decoding: text, as: UTF8.self))
  }
}
