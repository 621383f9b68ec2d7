// Reads `encoder.json`: an object whose names are tokens and whose values are their ids.

/// One member of the object, with the line it was read from. The token stays bytes, because String's
/// equality would join those that Unicode calls equivalent.
struct EncoderMember {
  var key: [UInt8]
  var value: Int
  var line: Int

  /// The token as people read it.
  var text: String { String(decoding: key, as: UTF8.self) }
}

/// The members in the order of the file; nothing may follow the object.
func readEncoder(_ text: VocabularyText) throws(DataError) -> [EncoderMember] {
  let bytes = Array(text.bytes)
  var reader = JSONReader(bytes)
  var members: [EncoderMember] = []
  var (line, counted) = (1, 0)
  func count(to place: Int) {
    line += bytes[counted..<place].count { $0 == 0x0A }
    counted = place
  }
  do throws(JSONError) {
    try reader.object { (reader, key) throws(JSONError) in
      count(to: reader.keyPosition)
      members.append(
        EncoderMember(key: Array(key.utf8), value: try reader.wholeNumber(), line: line))
    }
    try reader.end(after: "the object")
  } catch {
    count(to: error.offset)
    throw .malformedVocabulary(
      path: text.path, line: line,
      reason: "expected \(error.expected), found \(name(of: bytes.dropFirst(error.offset).first))")
  }
  return members
}

private func name(of byte: UInt8?) -> String {
  guard let byte else { return "the end of the file" }
  return (0x21..<0x7F).contains(byte) ? "'\(Unicode.Scalar(byte))'" : "the byte \(byte)"
}
