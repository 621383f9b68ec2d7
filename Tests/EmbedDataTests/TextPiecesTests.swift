// The pieces that text is cut into by SIMD, against PCRE2's with the published pattern: every code point,
// all short ASCII texts, and drawn texts in windows of any size.

import EmbedData
import TestSupport
import Testing

@Suite struct TextPiecesTests {
  private let matcher: TextPatternMatcher

  init() throws { matcher = try TextPatternMatcher(try TextPattern()) }

  private func expectSame(_ text: [UInt8], windows: [Int] = [8_192]) throws {
    let expected = try TextPieces.ends(text, by: matcher)
    #expect(TextPieces.endsByCharacter(text) == expected, "a character at a time: \(text)")
    for window in windows {
      for set in TextPieces.sets {
        #expect(
          TextPieces.ends(text, window: window, set: set) == expected,
          "window \(window), set \(set): \(text)")
      }
    }
  }

  /// PCRE2 tells a code point's class by the piece that a character of each class makes with it.
  @Test func everyCodePointHasPCRE2sClass() throws {
    var text: [UInt8] = []
    var starts: [(point: UInt32, start: Int)] = []
    for point in UInt32(0)...0x10FFFF {
      guard let scalar = Unicode.Scalar(point), point != 0x27 else { continue }
      // In "a!1" with the code point after each, pieces end where its class is another.
      starts.append((point, text.count))
      for sign in ["a", "1", "!"] { text += Array(sign.utf8) + Array(String(scalar).utf8) }
      text += [0x0A]
    }
    let ends = try TextPieces.ends(text, by: matcher)
    for set in TextPieces.sets { #expect(TextPieces.ends(text, set: set) == ends) }
    #expect(TextPieces.endsByCharacter(text) == ends)
    let isEnd = Set(ends)
    var wrong: [UInt32] = []
    for (point, start) in starts {
      let width = UTF8.width(Unicode.Scalar(point)!)
      let joins = (0..<3).map { !isEnd.contains(start + $0 * (1 + width) + 1) }
      let kind: UInt32 = joins[0] ? 1 : joins[1] ? 2 : joins[2] ? 0 : 3
      if TextPieces.kind(point) != kind { wrong.append(point) }
    }
    #expect(wrong.isEmpty, "\(wrong.count) code points, such as \(wrong.prefix(5))")
    #expect(starts.count == 0x110000 - 0x800 - 1)
  }

  /// All texts of three ASCII characters, in one text, parted by what can't join them.
  @Test(arguments: ["", "\u{80}"])
  func allShortASCIITexts(between: String) throws {
    for first in UInt8(0)..<128 {
      var text: [UInt8] = []
      for second in UInt8(0)..<128 {
        for third in UInt8(0)..<128 { text += [first, second, third] + Array(between.utf8) }
      }
      let expected = try TextPieces.ends(text, by: matcher)
      for set in TextPieces.sets {
        #expect(TextPieces.ends(text, set: set) == expected, "texts that begin with \(first)")
      }
      #expect(TextPieces.endsByCharacter(text) == expected, "texts that begin with \(first)")
    }
  }

  /// A block is 64 bytes: what looks ahead or behind must do so over its edge.
  @Test(
    arguments: [
      "'s", "'ll", "'re ", "  x", " \n x", "\u{3000}\u{3000}x", "\u{A0} 1", " 猫", "'猫", "''s",
      "x'st",
      "1'd2", "\u{2003}", "😀'm", " '",
    ])
  func theEdgesOfBlocks(part: String) throws {
    for fill in ["a", "1", "-", "猫"] {
      for length in 0..<70 {
        let head = Array(String(repeating: fill, count: length).utf8)
        for tail in ["", "a", " ", "\n", "猫"] {
          try expectSame(head + Array(part.utf8) + Array(tail.utf8))
          try expectSame(head + Array(part.utf8) + [0xE7, 0x8C] + Array(tail.utf8))
        }
      }
    }
  }

  @Test(arguments: 0..<200 as Range<UInt64>)
  func drawnTexts(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let text = generator.text(
      parts: Int.random(in: 1...400, using: &generator), wellFormed: seed.isMultiple(of: 2))
    try expectSame(text, windows: [1, 7, 63, 64, 65, 200, 8_192])
  }

  /// Code points of all classes and lengths side by side, and bytes of no text.
  @Test(arguments: 0..<100 as Range<UInt64>)
  func drawnCodePointsAndBytes(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var text: [UInt8] = []
    for _ in 0..<600 {
      switch Int.random(in: 0..<4, using: &generator) {
      case 0: text.append(UInt8.random(in: 0...255, using: &generator))
      case 1: text.append(UInt8.random(in: 32...127, using: &generator))
      case 2:
        let point = UInt32.random(in: 0...0x3FFF, using: &generator)
        if let scalar = Unicode.Scalar(point) { text += Array(String(scalar).utf8) }
      default:
        let point = UInt32.random(in: 0...0x10FFFF, using: &generator)
        if let scalar = Unicode.Scalar(point) { text += Array(String(scalar).utf8) }
      }
    }
    try expectSame(text, windows: [64, 8_192])
  }

  /// Characters of two and three bytes fill blocks that are classified at once; an ill-formed one among
  /// them, at any place of a block, before each kind of character.
  @Test(
    arguments: [
      [0xE3, 0x80], [0xE3], [0xC3], [0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80],
      [0xF0, 0x9F], [0xC1, 0x80], [0xFF],
    ] as [[UInt8]])
  func illFormedAmongWideCharacters(broken: [UInt8]) throws {
    for next in ["é", "猫", "\u{301}", "\u{3000}", "a", " ", "\u{A0}", "👍"] {
      var text: [UInt8] = []
      for shift in 0..<66 {
        text += Array("é".utf8) + Array(String(repeating: "x", count: shift % 3).utf8)
        text += Array(String(repeating: "猫", count: 22 + shift / 3).utf8)
        text += broken + Array(next.utf8) + Array(String(repeating: "жé", count: 40).utf8)
        text += Array("\u{3000}\u{3000}。1".utf8)
      }
      try expectSame(text)
    }
  }
}
