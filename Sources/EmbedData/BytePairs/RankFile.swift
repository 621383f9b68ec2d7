// Reads tiktoken's rank file: on each line a token in base64, a space, and its rank, which is also
// its id.

/// One line of the file.
struct RankedToken {
  var bytes: [UInt8]
  var rank: Int
}

/// The tokens of `file`, in its order.
func readRanks(_ file: [UInt8], path: String) throws(DataError) -> [RankedToken] {
  var tokens: [RankedToken] = []
  var number = 0
  for line in file.split(separator: 0x0A, omittingEmptySubsequences: false) {
    number += 1
    let fields = line.split { $0 == 0x20 || $0 == 0x0D }
    if fields.isEmpty { continue }
    guard fields.count == 2 else {
      throw .malformedVocabulary(
        path: path, line: number, reason: "\(fields.count) fields instead of a token and its rank")
    }
    guard let bytes = decodeBase64(fields[0]), !bytes.isEmpty else {
      throw .malformedVocabulary(
        path: path, line: number,
        reason: "'\(String(decoding: fields[0], as: UTF8.self))' is no token in base64")
    }
    let text = String(decoding: fields[1], as: UTF8.self)
    guard let rank = Int(text), rank >= 0 else {
      throw .malformedVocabulary(path: path, line: number, reason: "'\(text)' is no rank")
    }
    tokens.append(RankedToken(bytes: bytes, rank: rank))
  }
  return tokens
}

/// The bytes of standard, padded base64 (RFC 4648), or nil.
private func decodeBase64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
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
