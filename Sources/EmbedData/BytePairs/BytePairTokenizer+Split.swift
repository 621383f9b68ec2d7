// Where a text may be cut without changing its ids, so that a file of any size is encoded in parts.
//
// No piece of GPT-2's pattern holds a space after something that is no space, nor ASCII letters,
// digits and other signs side by side, but for the contractions ('s, 'll) and the space in front.
// So between two such characters a piece always ends. The one rule that looks ahead, for runs of
// space, then looks at nothing across the cut: the character before the cut is no space.

extension BytePairTokenizer {
  /// The last position at which `bytes` may be cut without a change of ids, special tokens included.
  ///
  /// - Complexity: O(distance from the end of `bytes` to the cut).
  public func splitPoint(in bytes: Span<UInt8>) -> Int {
    unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let text = buffer.baseAddress else { return 0 }
      var position = buffer.count - 1
      while position > 0 {
        if unsafe isBoundary(text, position),
          unsafe !specials.straddles(text, position, buffer.count)
        {
          return position
        }
        position -= 1
      }
      return 0
    }
  }

  private func isBoundary(_ text: UnsafePointer<UInt8>, _ position: Int) -> Bool {
    let next = unsafe ASCIIClass(text[position])
    if unsafe text[position - 1] < 0x80 {
      let previous = unsafe ASCIIClass(text[position - 1])
      // An apostrophe may take the letters after it into a contraction.
      if unsafe text[position - 1] == UInt8(ascii: "'"), next == .letter { return false }
      return previous != .space && next != .beyond && previous != next
    }
    return unsafe next == .space && !endsInSpace(text, position)
  }

  /// Whether the bytes before `position`, of which the last is not ASCII, end in a white space
  /// character: U+0085, U+00A0, U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F, U+3000.
  /// Bytes that are no character don't.
  private func endsInSpace(_ text: UnsafePointer<UInt8>, _ position: Int) -> Bool {
    guard position >= 2 else { return false }
    let last = unsafe text[position - 1]
    let middle = unsafe text[position - 2]
    if middle == 0xC2 { return last == 0x85 || last == 0xA0 }
    guard position >= 3 else { return false }
    switch unsafe (text[position - 3], middle) {
    case (0xE1, 0x9A), (0xE3, 0x80): return last == 0x80
    case (0xE2, 0x80): return last <= 0x8A || [0xA8, 0xA9, 0xAF].contains(last)
    case (0xE2, 0x81): return last == 0x9F
    default: return false
    }
  }
}

/// The pattern's classes among ASCII; `beyond` is all else.
private enum ASCIIClass {
  case letter, digit, space, other, beyond

  init(_ byte: UInt8) {
    switch byte {
    case 0x41...0x5A, 0x61...0x7A: self = .letter
    case 0x30...0x39: self = .digit
    case 0x09...0x0D, 0x20: self = .space
    case 0x80...0xFF: self = .beyond
    default: self = .other
    }
  }
}
