// Texts that are one piece of the pattern, or nearly: cut inside it, they must give the ids of the
// whole, for any vocabulary, and be read in little memory.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct LongPieceTests {
  /// Parts of a text that has been read so far, cut by `splitPoint` until it is at its end.
  private func parts(
    _ text: [UInt8], _ size: Int, _ tokenizer: BytePairTokenizer
  ) throws -> (ids: [Int32], longest: Int) {
    var ids: [Int32] = []
    var (start, known, longest) = (0, size, 0)
    while start < text.count {
      let end = min(text.count, start + known)
      let part = Array(text[start..<end])
      let cut = end == text.count ? part.count : tokenizer.splitPoint(in: part.span)
      guard cut > 0 else {
        known *= 2
        continue
      }
      #expect(cut <= part.count)
      ids += try tokenizer.encode(bytes: Array(part[..<cut]))
      longest = max(longest, known)
      start += cut
      known = size
    }
    return (ids, longest)
  }

  static let units = [
    "a", "ab", "the", "thethe th", "1", "12", "-", "=-", "!'", " ", "\n", " \n", "猫", "今天天气很好", "é",
    "жа", "。", "\u{3000}",
  ]

  @Test(arguments: units, [300, 2_000].inDebug(every: 2))
  func aRunOfOneUnitIsCut(unit: String, size: Int) throws {
    let tokenizer = try Resources.small()
    let text = Array(String(repeating: unit, count: 6_000 / unit.utf8.count).utf8)
    let (ids, longest) = try parts(text, size, tokenizer)
    #expect(try ids == tokenizer.encode(bytes: text))
    #expect(longest <= 1_200 || longest == size, "no cut in \(longest) bytes")
  }

  /// In the little vocabulary each token of this digit's run ends inside a character: no place is a cut,
  /// and the whole run is one part.
  @Test func whereEveryTokenEndsInsideACharacterTheRunIsOnePart() throws {
    let tokenizer = try Resources.small()
    let text = Array(String(repeating: "١", count: 1_500).utf8)
    let (ids, longest) = try parts(text, 300, tokenizer)
    #expect(try ids == tokenizer.encode(bytes: text))
    #expect(longest > 1_200)
  }

  /// Bytes that are no text are pieces too.
  @Test(arguments: [[0x80], [0xE7, 0x8C], [0xFF, 0x80, 0xC2]] as [[UInt8]])
  func aRunOfIllFormedBytesIsCut(unit: [UInt8]) throws {
    let tokenizer = try Resources.small()
    let text = Array([[UInt8]](repeating: unit, count: 3_000).joined())
    let (ids, longest) = try parts(text, 1_000, tokenizer)
    #expect(try ids == tokenizer.encode(bytes: text))
    #expect(longest == 1_000)
  }

  /// Random merges over three letters, where tokens overlap in every way, as ranks and as merges with
  /// ids in another order; and with unused ids between them.
  @Test(arguments: 0..<24 as Range<UInt64>)
  func randomVocabulariesAreCutRight(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var tokens = (UInt8.min...UInt8.max).map { [$0] }
    let letters = Array("abc".utf8)
    var parts = letters.map { [$0] }
    for _ in 0..<Int.random(in: 1...30, using: &generator) {
      let left = parts[Int.random(in: 0..<parts.count, using: &generator)]
      let whole = left + parts[Int.random(in: 0..<parts.count, using: &generator)]
      if parts.contains(whole) || whole.count > 40 { continue }
      parts.append(whole)
      tokens.append(whole)
    }
    tokens.shuffle(using: &generator)
    let gap = Int.random(in: 1...3, using: &generator)
    let lines = tokens.enumerated().map {
      "\(Data($0.element).base64EncodedString()) \($0.offset * gap)\n"
    }.joined()
    let folder = try TemporaryFolder()
    let tokenizer = try BytePairTokenizer(ranks: folder.file("random.tiktoken", lines))
    // From all letters alike to hardly any but one.
    let others = Int.random(in: 1...200, using: &generator)
    let text = (0..<3_000).map { _ in
      Int.random(in: 0...200, using: &generator) < others
        ? letters[Int.random(in: 0..<3, using: &generator)] : letters[0]
    }
    let whole = try tokenizer.encode(bytes: text)
    for size in [200, 1_000] {
      #expect(try self.parts(text, size, tokenizer).ids == whole, "seed \(seed), parts of \(size)")
    }
    let merged = tokenizer.merge(text, stretch: text.count)
    for stretch in [1, 100, 700] {
      #expect(tokenizer.merge(text, stretch: stretch) == merged, "seed \(seed), by \(stretch)")
    }
  }

  /// Runs of one letter, of spaces, of digits, of characters without a space between, of marks.
  @Test(arguments: ["a", " ", "7", "猫", "今天天气很好", "\u{301}", "\u{FF}"])
  func mergingARunTakesStepsByItsLength(unit: String) throws {
    func work(_ count: Int) throws -> (ids: [Int32], steps: Int, longest: Int) {
      let tokenizer = try Resources.small()
      let piece = Array(String(repeating: unit, count: count / unit.utf8.count).utf8)
      let ids = tokenizer.merge(piece, stretch: 2_048)
      #expect(try tokenizer.decode(ids) == piece)
      return (ids, tokenizer.longPieceWork.steps, tokenizer.longPieceWork.longest)
    }
    let (once, twice) = (try work(12_000), try work(24_000))
    #expect(Double(twice.steps) < 2.2 * Double(once.steps), "\(once.steps), \(twice.steps) steps")
    // The end of a piece is up to two stretches, each at least four of the longest tokens.
    #expect(once.longest <= 6_600 && twice.longest <= 6_600)
  }

  /// A text that is one piece is merged by stretches too, whatever it is encoded into.
  @Test func aPieceOfMegabytesTakesTheMemoryOfAStretch() throws {
    let tokenizer = try Resources.small()
    let text = [UInt8](repeating: UInt8(ascii: "a"), count: 400_000)
    let ids = try tokenizer.encode(bytes: text)
    var target = [Int32](repeating: -1, count: text.count)
    var span = target.mutableSpan
    #expect(try tokenizer.encode(text.span, threads: 2, into: &span) == ids.count)
    #expect(Array(target[..<ids.count]) == ids)
    #expect(try tokenizer.decode(ids) == text)
    let longest = tokenizer.longPieceWork.longest
    #expect(longest > 100_000 && longest <= 1 << 18, "\(longest) bytes at once")
  }

  /// A special token may end where a cut would be, whatever it is made of.
  @Test(arguments: ["aaaa", "ab", "'a", " a", "b c"], 0..<6 as Range<UInt64>)
  func specialTokensAreKeptWhole(name: String, seed: UInt64) throws {
    let tokenizer = try BytePairTokenizer(
      ranks: Resources.fixture("small.tiktoken"), specialTokens: [name: 700])
    var generator = SeededGenerator(seed: seed)
    let units = ["a", "aa", "b", "c", "'", " ", "é"]
    let text = (0..<1_500).flatMap { _ in
      Array(units[Int.random(in: 0..<units.count, using: &generator)].utf8)
    }
    let folder = try TemporaryFolder()
    let source = try folder.file("text", text)
    for special in [SpecialText.ordinary, .recognised] {
      let whole = try tokenizer.encode(bytes: text, special: special)
      for size in [40, 300, 1_000] {
        #expect(
          try tokenizer.encode(file: source, special: special, partSize: size) == whole,
          "seed \(seed), parts of \(size)")
      }
    }
  }
}
