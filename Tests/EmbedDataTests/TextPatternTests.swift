// The text pattern by itself: the same pieces from generated code and from PCRE2's interpreter, which
// serves where a system forbids generated code, and from a plain reading of the published pattern.

import EmbedData
import TestSupport
import Testing

@Suite struct TextPatternTests {
  private func pieces(_ text: String, _ engine: TextPattern.Engine) throws -> [String] {
    let matcher = try TextPatternMatcher(try TextPattern(engine: engine))
    let bytes = Array(text.utf8)
    var pieces: [String] = []
    try unsafe bytes.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      var position = 0
      while position < buffer.count {
        let end = try unsafe matcher.pieceEnd(base, position, buffer.count)
        pieces.append(String(decoding: bytes[position..<end], as: UTF8.self))
        position = end
      }
    }
    return pieces
  }

  @Test(arguments: TextPattern.Engine.allCases)
  func piecesAreThoseOfThePattern(engine: TextPattern.Engine) throws {
    // By the pattern read by hand: a run of space gives its last character to what follows if that
    // is a plain space, and stands alone otherwise.
    let expected = [
      "it", "'s", " a", " ", " test", "!?", " 123", "\n", "\n", "x", "'", "D", " é", "\u{301}",
      "\u{A0}", "y", "\u{180E}", " ¾", "猫", "。", "\t", "\t", "z", "  ",
    ]
    #expect(try pieces(expected.joined(), engine) == expected)
  }

  @Test(arguments: 0..<40 as Range<UInt64>)
  func bothEnginesAgree(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let text = String(decoding: generator.text(parts: 200, wellFormed: true), as: UTF8.self)
    let compiled = try pieces(text, .compiled)
    #expect(try compiled == pieces(text, .interpreted), "seed \(seed)")
    #expect(compiled.joined() == text)
  }

  @Test(arguments: TextPattern.Engine.allCases, [" ", "\u{3000}", "a", "猫", "-"])
  func longRunsNeedNoStack(engine: TextPattern.Engine, unit: String) throws {
    let run = String(repeating: unit, count: 1 << 17)
    let expected =
      switch unit {
      case " ": [String(run.dropLast()), " 1"]
      case "\u{3000}": [String(run.dropLast()), unit, "1"]
      default: [run, "1"]
      }
    #expect(try pieces(run + "1", engine) == expected)
  }
}
