// Where a text may be cut without changing its ids, so that a file of any size is encoded in parts.
// Three searches, the cheapest first:
//
// 1. From the end, between two ASCII characters of unlike classes. No piece of GPT-2's pattern holds
//    a space after something that is no space, nor letters, digits and other signs side by side, but
//    for the contractions ('s, 'll) and the space in front. So between two such characters a piece
//    always ends. The one rule that looks ahead, for runs of space, then looks at nothing across the
//    cut: the character before the cut is no space.
// 2. The pieces themselves, from the start, for text of other scripts: the same at their edges.
// 3. Inside a piece that is most of the text: see `BytePairTokenizer+LongPieces`.

extension BytePairTokenizer {
  /// How many bytes from the end are searched for ASCII.
  private static let asciiSearch = 4_096

  /// A position at which `bytes`, the start of a text, may be cut without a change of ids, special
  /// tokens included: near the end where there is one. 0 when none is found, as in a text of less than
  /// some hundred bytes in one script.
  ///
  /// - Complexity: O(distance from the end of `bytes` to the cut) for prose in ASCII, else O(n) as
  ///   encoding.
  public func splitPoint(in bytes: Span<UInt8>) -> Int {
    unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let text = buffer.baseAddress, buffer.count > 1 else { return 0 }
      var position = buffer.count - 1
      let end = max(0, buffer.count - Self.asciiSearch)
      while position > end {
        if unsafe isBoundary(text, position),
          unsafe !specials.straddles(text, position, buffer.count)
        {
          return position
        }
        position -= 1
      }
      let known = unsafe knownEnd(text, buffer.count)
      // A failing pattern fails again where the text is encoded, and is told there.
      let found = try? withWorkspace { workspace throws(DataError) in
        let (edge, longest) = try unsafe survey(text, known, buffer.count, workspace)
        return edge > 0 ? edge : unsafe cut(inside: longest, text, buffer.count, workspace)
      }
      return found ?? 0
    }
  }

  /// A piece of a text.
  struct Piece {
    var range = 0..<0
    var isWellFormed = true
  }

  /// The last edge between pieces at which the text may be cut, or 0, and the longest piece.
  ///
  /// `known` is the end of the characters whose bytes are all there, `count` that of the bytes.
  private func survey(
    _ text: UnsafePointer<UInt8>, _ known: Int, _ count: Int, _ workspace: Workspace
  ) throws(DataError) -> (edge: Int, longest: Piece) {
    var edge = 0
    var longest = Piece()
    var position = 0
    // Where the piece before starts, and where the well-formed text around ends.
    var before = 0
    var end = 0
    while position < known {
      if position >= end { end = unsafe wellFormedEnd(text, position, known) }
      let isWellFormed = position < end
      let next =
        isWellFormed
        ? try unsafe workspace.matcher.pieceEnd(text, position, end)
        : unsafe illFormedEnd(text, position, known)
      if position > 0, unsafe isEdge(text, position, before),
        unsafe !specials.straddles(text, position, count)
      {
        edge = position
      }
      if next - position > longest.range.count {
        longest = Piece(range: position..<next, isWellFormed: isWellFormed)
      }
      before = position
      position = next
    }
    return (edge, longest)
  }

  /// Whether pieces end at `position` in any text that begins so, where the pieces from `before` to
  /// `position` and after it are pieces of this one.
  private func isEdge(
    _ text: UnsafePointer<UInt8>, _ position: Int, _ before: Int
  ) -> Bool {
    let apostrophe = UInt8(ascii: "'")
    // A special token may end where a contraction or what follows an apostrophe would start.
    if unsafe text[before] == apostrophe || text[position - 1] == apostrophe { return false }
    return unsafe text[position - 1] < 0x80
      ? ASCIIClass(text[position - 1]) != .space : !endsInSpace(text, position)
  }

  /// The end of `text` without a last character that more bytes may complete.
  private func knownEnd(_ text: UnsafePointer<UInt8>, _ count: Int) -> Int {
    for back in 1...3 where back <= count {
      let byte = unsafe text[count - back]
      if byte & 0xC0 == 0x80 { continue }
      let needed = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
      return needed > back ? count - back : count
    }
    return count
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
