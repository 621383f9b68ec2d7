// Where a text may be cut without changing its ids, so that a file of any size is encoded in parts.
// Three searches, the cheapest first:
//
// 1. From the end, between two characters of unlike classes. No piece of GPT-2's pattern holds
//    a space after something that is no space, nor letters, digits and other signs side by side, but
//    for the contractions ('s, 'll) and the space in front. So between two such characters a piece
//    always ends. The one rule that looks ahead, for runs of space, then looks at nothing across the
//    cut: the character before the cut is no space.
// 2. The pieces themselves, from the start, where those are long: the same at their edges.
// 3. Inside a piece that is most of the text: see `BytePairTokenizer+LongPieces`.

internal import CTokenizer

extension BytePairTokenizer {
  /// How many bytes from the end are searched for unlike characters.
  private static let search = 4_096

  /// A position at which `bytes`, the start of a text, may be cut without a change of ids, special
  /// tokens included: near the end where there is one. 0 when none is found, as in a text of less than
  /// some hundred bytes in one script.
  ///
  /// - Complexity: O(distance from the end of `bytes` to the cut) for prose, else O(n) as encoding.
  public func splitPoint(in bytes: Span<UInt8>) -> Int {
    unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let text = buffer.baseAddress, buffer.count > 1 else { return 0 }
      if let position = unsafe boundary(text, before: buffer.count, from: 0, buffer.count) {
        return position
      }
      let known = unsafe knownEnd(text, buffer.count)
      return withWorkspace { workspace in
        let (edge, longest) = unsafe survey(text, known, buffer.count)
        return edge > 0 ? edge : unsafe cut(inside: longest, text, buffer.count, workspace)
      }
    }
  }

  /// The last place before `end`, and after `start`, where pieces end between unlike characters, if one
  /// is near. The text goes up to `count`.
  func boundary(
    _ text: UnsafePointer<UInt8>, before end: Int, from start: Int, _ count: Int
  ) -> Int? {
    var position = end - 1
    let last = max(start, end - Self.search)
    while position > last {
      if unsafe isBoundary(text, position, count),
        unsafe !specials.straddles(text, position, count)
      {
        return position
      }
      position -= 1
    }
    return nil
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
    _ text: UnsafePointer<UInt8>, _ known: Int, _ count: Int
  ) -> (edge: Int, longest: Piece) {
    var edge = 0
    var longest = Piece()
    var position = 0
    // Where the piece before starts.
    var before = 0
    while position < known {
      let isWellFormed = unsafe characterLength(text, position, known) > 0
      let next = unsafe ek_piece_end(text, position, known)
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
    return unsafe characterBefore(text, position)?.kind != CharacterClass.space
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

  /// Whether a piece ends at `position` by the two characters around it alone.
  private func isBoundary(
    _ text: UnsafePointer<UInt8>, _ position: Int, _ count: Int
  ) -> Bool {
    var point: UInt32 = 0
    guard unsafe ek_character(text, position, count, &point) > 0 else { return false }
    let next = ek_class(point)
    guard let previous = unsafe characterBefore(text, position) else {
      // Bytes that are no character, and that these can't complete.
      return next == CharacterClass.space && point < 0x80
    }
    // An apostrophe may take the letters after it into a contraction.
    if previous.point == 0x27, next == CharacterClass.letter { return false }
    return previous.kind != CharacterClass.space && previous.kind != next
  }

  /// The character that ends at `position`, above 0, or nil where the bytes are none.
  private func characterBefore(
    _ text: UnsafePointer<UInt8>, _ position: Int
  ) -> (kind: UInt32, point: UInt32)? {
    var start = position - 1
    while unsafe start > 0 && position - start < 4 && text[start] & 0xC0 == 0x80 { start -= 1 }
    var point: UInt32 = 0
    guard unsafe ek_character(text, start, position, &point) == position - start else { return nil }
    return (ek_class(point), point)
  }
}

/// The classes that cuts go by.
private enum CharacterClass {
  static let letter = UInt32(EK_LETTER)
  static let space = UInt32(EK_SPACE)
}
