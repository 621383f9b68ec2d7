// Reads tiktoken's rank file: on each line a token in base64, a space, and its rank, which is also
// its id.

/// The tokens of a rank file.
func readRanks(_ text: VocabularyText) throws(DataError) -> TokenCollector {
  var tokens = TokenCollector(path: text.path)
  for (index, line) in text.lines.enumerated() {
    let fields = VocabularyText.fields(line)
    if fields.isEmpty { continue }
    func fault(_ reason: String) -> DataError {
      .malformedVocabulary(path: text.path, line: index + 1, reason: reason)
    }
    guard fields.count == 2 else {
      throw fault("\(fields.count) fields instead of a token and its rank")
    }
    guard let bytes = decodeBase64(fields[0]) else {
      throw fault("'\(String(decoding: fields[0], as: UTF8.self))' is no token in base64")
    }
    let rank = String(decoding: fields[1], as: UTF8.self)
    guard let id = Int(rank), id >= 0 else { throw fault("'\(rank)' is no rank") }
    try tokens.add(
      bytes, id: id, name: String(decoding: bytes, as: UTF8.self), line: index + 1)
  }
  return tokens
}

/// The bytes of standard, padded base64 (RFC 4648), or nil.
///
/// Padding alone is an empty token, which the files of Whisper have: Python, which they are made for,
/// reads `=` as no bytes.
private func decodeBase64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
  if text.allSatisfy({ $0 == UInt8(ascii: "=") }) { return [] }
  guard text.count % 4 == 0 else { return nil }
  var digits = text
  while digits.last == UInt8(ascii: "="), text.count - digits.count < 2 { digits.removeLast() }
  var bytes: [UInt8] = []
  var bits: UInt32 = 0
  var held = 0
  for character in digits {
    let value: UInt8
    switch character {
    case 0x41...0x5A: value = character - 0x41
    case 0x61...0x7A: value = character - 0x61 + 26
    case 0x30...0x39: value = character - 0x30 + 52
    case UInt8(ascii: "+"): value = 62
    case UInt8(ascii: "/"): value = 63
    default: return nil
    }
    bits = bits << 6 | UInt32(value)
    held += 6
    if held >= 8 {
      held -= 8
      bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(held)))
    }
  }
  // What is left over must be zero, or two texts would stand for the same bytes.
  return bits & (1 << UInt32(held) - 1) == 0 ? bytes : nil
}
