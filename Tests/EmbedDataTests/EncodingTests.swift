// The cache of pieces and threads change how long encoding takes, and no id.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct EncodingTests {
  /// Pieces of all lengths around those that are kept in one way or another, each twice and in turns.
  @Test func piecesOfAllLengths() throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: 5)
    let letters = Array("theansorin".utf8)
    let words = (1...600).map { length in
      (0..<length).map { _ in letters[Int.random(in: 0..<letters.count, using: &generator)] }
    }
    var expected: [Int32] = []
    var text: [UInt8] = []
    for word in words {
      text += word + [0x31]
      // A new tokenizer has seen nothing.
      expected += try Resources.small().encode(bytes: word) + tokenizer.encode(bytes: [0x31])
    }
    #expect(try tokenizer.encode(bytes: text) == expected)
    #expect(try tokenizer.encode(bytes: text + text) == expected + expected)
    #expect(try tokenizer.decode(expected) == text)
  }

  /// Every instruction set encodes, merges and keeps alike, at first and from what it has kept.
  @Test(arguments: 0..<12 as Range<UInt64>)
  func everySetGivesTheSameIDs(seed: UInt64) throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: seed)
    var text = generator.text(parts: 3_000, wellFormed: seed.isMultiple(of: 2))
    for _ in 0..<400 {
      let length = Int.random(in: 1...20, using: &generator)
      text += [0x20] + (0..<length).map { _ in "theansorin".utf8.randomElement(using: &generator)! }
    }
    // A piece at a time, as its own text, is merged by what each set has for its length.
    var expected: [Int32] = []
    var start = 0
    let fresh = try Resources.small()
    for end in TextPieces.endsByCharacter(text) {
      expected += try fresh.encode(bytes: Array(text[start..<end]))
      start = end
    }
    for set in TextPieces.sets {
      #expect(tokenizer.encode(text, set: set) == expected, "seed \(seed), set \(set)")
      #expect(tokenizer.encode(text, set: set, times: 2) == expected, "seed \(seed), set \(set)")
    }
  }

  /// Pieces whose bytes could be taken for another's with its length: NULs, and bytes that mark a length.
  @Test func piecesThatLookAlike() throws {
    let tokenizer = try Resources.small()
    var texts: [[UInt8]] = (1...20).map { [UInt8](repeating: 0, count: $0) }
    texts += (1...20).map { [0x21] + [UInt8](repeating: 0, count: $0) }
    for mark in UInt8(0xF5)...0xFF {
      texts += (1...20).map { [UInt8](repeating: 0x80, count: $0) + [mark] }
      texts += (1...20).map { [UInt8](repeating: mark, count: $0) }
    }
    for set in TextPieces.sets {
      var text: [UInt8] = []
      var expected: [Int32] = []
      for part in texts + texts {
        text += part + [0x61, 0x20]
        expected += tokenizer.encode(part + [0x61, 0x20], set: set)
      }
      #expect(tokenizer.encode(text, set: set) == expected, "set \(set)")
      #expect(try tokenizer.decode(expected) == text)
    }
  }

  /// Into the caller's memory: what fits is written, all is counted, and nothing past it is touched.
  @Test func intoTheCallersMemory() throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: 3)
    let text =
      generator.text(parts: 20_000, wellFormed: false)
      + Array(String(repeating: "猫the", count: 100).utf8) + Array(repeating: 0x61, count: 700)
    for special in [SpecialText.ordinary, .recognised] {
      let expected = try tokenizer.encode(bytes: text, special: special)
      for room in [0, 1, 100, 9_000, expected.count - 1, expected.count, text.count] {
        var ids = [Int32](repeating: -7, count: room + 1)
        let count = try unsafe ids.withUnsafeMutableBufferPointer { buffer in
          let part = unsafe UnsafeMutableBufferPointer(rebasing: buffer[..<room])
          var target = unsafe MutableSpan(_unsafeElements: part)
          return try tokenizer.encode(text.span, special: special, into: &target)
        }
        #expect(count == expected.count)
        let written = min(room, expected.count)
        #expect(Array(ids[..<written]) == Array(expected[..<written]), "room \(room)")
        #expect(ids[room] == -7, "room \(room)")
      }
    }
    let noText: [UInt8] = []
    var noIDs: [Int32] = []
    var none = noIDs.mutableSpan
    let noCount = try tokenizer.encode(noText.span, into: &none)
    #expect(noCount == 0)
    let withSpecial = Array("a<|endoftext|>".utf8)
    #expect(throws: DataError.specialTokenInText(token: "<|endoftext|>", offset: 1)) {
      var ids: [Int32] = [-7]
      var target = ids.mutableSpan
      _ = try tokenizer.encode(withSpecial.span, special: .refused, into: &target)
    }
  }

  /// More pieces than the cache holds, several times over: memory stays within the limit that is told,
  /// and the ids are those of a tokenizer that sees each part for the first time.
  @Test func theCacheIsBounded() throws {
    let tokenizer = try Resources.small()
    #expect(BytePairTokenizer.cacheLimit < 14 << 20)
    func part(_ number: Int) -> [UInt8] {
      var text: [UInt8] = []
      for word in number * 40_000..<(number + 1) * 40_000 {
        text += Array(
          " w\(String(word, radix: 36).map { $0.isNumber ? "q" : String($0) }.joined())".utf8)
        text += Array("x\(String(word, radix: 2))".utf8)
      }
      return text
    }
    var first: [Int32] = []
    for number in 0..<5 {
      let ids = try tokenizer.encode(bytes: part(number))
      if number == 0 { first = ids }
      #expect(try tokenizer.decode(ids) == part(number))
      if number % 4 == 0 { #expect(try Resources.small().encode(bytes: part(number)) == ids) }
    }
    #expect(try tokenizer.encode(bytes: part(0)) == first)
    #expect(tokenizer.cacheBytes > 4 << 20)
    #expect(tokenizer.cacheBytes <= BytePairTokenizer.cacheLimit)
  }

  /// A rank file may have tokens that merging doesn't lead to: whole pieces become them, parts don't.
  @Test func tokensThatMergingDoesNotLeadTo() throws {
    let folder = try TemporaryFolder()
    let tokens = (0..<256).map { [UInt8($0)] } + [Array("猫猫".utf8), Array("が猫".utf8)]
    let lines = tokens.enumerated().map { "\(base64($1)) \($0)\n" }.joined()
    let tokenizer = try BytePairTokenizer(
      ranks: folder.file("r.tiktoken", lines), specialTokens: [:])
    #expect(try tokenizer.encode("猫猫") == [256])
    #expect(try tokenizer.encode("猫猫1が猫") == [256, 49, 257])
    #expect(try tokenizer.encode("あ猫猫") == Array("あ猫猫".utf8).map(Int32.init))
  }

  private func base64(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
    var text = ""
    for start in stride(from: 0, to: bytes.count, by: 3) {
      let part = bytes[start..<min(start + 3, bytes.count)]
      let value = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
      for i in 0..<4 {
        text += i <= part.count ? String(alphabet[value >> (6 * (3 - i)) & 63]) : "="
      }
    }
    return text
  }

  @Test(arguments: 0..<4 as Range<UInt64>, [SpecialText.ordinary, .recognised])
  func threadsGiveTheSameIDs(seed: UInt64, special: SpecialText) throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: seed)
    var text = generator.text(parts: 250_000, wellFormed: seed.isMultiple(of: 2))
    // A stretch without a place to cut it, longer than a part.
    if seed == 3 {
      text.insert(contentsOf: Array(String(repeating: "猫", count: 100_000).utf8), at: 400_000)
    }
    let whole = try tokenizer.encode(bytes: text, special: special)
    for threads in [1, 2, 5, .max, nil] {
      var ids: [Int32] = [7]
      try tokenizer.encode(text.span, special: special, threads: threads, into: &ids)
      #expect(ids == [7] + whole, "seed \(seed), \(threads ?? 0) threads")
    }
  }

  /// What stands where threads share a text, moved over the place byte by byte.
  @Test(
    arguments: [
      "don't we'll  \n\n x", "12ab\u{3000}\u{3000}c '' 's", "猫\u{301}ジ。é👍🏽1", "<|endoftext|><|end",
    ], [true, false].inDebug(every: 2))
  func everyPlaceNearABorderOfThreads(motif: String, broken: Bool) throws {
    let tokenizer = try Resources.small()
    var middle = Array(motif.utf8)
    if broken { middle.insert(contentsOf: [0xE3, 0x80], at: middle.count / 2) }
    let filler = [UInt8](repeating: UInt8(ascii: "e"), count: 1 << 16)
    for shift in 0..<(middle.count + 4) {
      // The motif repeats to the border and past it; before and behind is no place to cut.
      var text = Array(filler.dropLast(4_200 + shift))
      while text.count < 70_000 { text += middle }
      text += filler + middle + filler + filler
      let whole = try tokenizer.encode(bytes: text)
      var ids: [Int32] = []
      try tokenizer.encode(text.span, threads: 3, into: &ids)
      #expect(ids == whole, "moved by \(shift)")
    }
  }

  /// Into the caller's memory, with as much room as there is: what fits is written, all is counted.
  @Test(arguments: [SpecialText.ordinary, .recognised], [1, 3, nil] as [Int?])
  func memoryOfTheCaller(special: SpecialText, threads: Int?) throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: 11)
    for parts in [0, 1, 50, 120_000] {
      let text = generator.text(parts: parts, wellFormed: false)
      let whole = try tokenizer.encode(bytes: text, special: special)
      for room in [0, 1, whole.count / 2, whole.count, text.count] {
        var target = [Int32](repeating: -7, count: room + 1)
        let count = try unsafe target.withUnsafeMutableBufferPointer { buffer in
          var held = unsafe MutableSpan(
            _unsafeElements: UnsafeMutableBufferPointer(rebasing: buffer[..<room]))
          return try tokenizer.encode(
            text.span, special: special, threads: threads, into: &held)
        }
        #expect(count == whole.count)
        let fits = min(room, count)
        #expect(target[..<fits] == whole[..<fits], "room for \(room)")
        #expect(target[room] == -7)
      }
    }
    #expect(throws: DataError.invalidSetting(name: "threads", value: 0, requirement: "at least 1"))
    {
      var target: [Int32] = []
      var span = target.mutableSpan
      _ = try tokenizer.encode([1, 2].span, special: special, threads: 0, into: &span)
    }
    var bytes = [Int32](repeating: -7, count: 3)
    var span = bytes.mutableSpan
    let letters: [UInt8] = [7, 200, 0, 9]
    #expect(
      try ByteTokenizer().encode(letters.span, special: special, threads: threads, into: &span) == 4
    )
    #expect(bytes == [7, 200, 0])
  }

  @Test func threadsGiveTheSameErrors() throws {
    let tokenizer = try Resources.small()
    let text = Array((String(repeating: "the cat ", count: 100_000) + "<|endoftext|>").utf8)
    let twice = text + text
    for threads in [1, 3] {
      var ids: [Int32] = [7]
      #expect(throws: DataError.specialTokenInText(token: "<|endoftext|>", offset: 800_000)) {
        try tokenizer.encode(twice.span, special: .refused, threads: threads, into: &ids)
      }
      #expect(ids == [7])
    }
    var ids: [Int32] = []
    #expect(throws: DataError.invalidSetting(name: "threads", value: 0, requirement: "at least 1"))
    {
      try tokenizer.encode(text.span, threads: 0, into: &ids)
    }
  }

  @Test(arguments: [1, 2, 3])
  func filesByThreadsGiveTheSameIDs(threads: Int) throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: 9)
    let text = generator.text(parts: 300_000, wellFormed: false)
    let folder = try TemporaryFolder()
    let target = folder.url.path + "/text.bin"
    let summary = try TokenFile.write(
      tokenizing: folder.file("text", text), with: tokenizer, to: target, threads: threads)
    let whole = try tokenizer.encode(bytes: text)
    #expect(summary.tokens == whole.count && summary.bytes == text.count)
    var ids = [Int32](repeating: 0, count: whole.count)
    var span = ids.mutableSpan
    try TokenFile(path: target, width: .uint16).read(0..<whole.count, into: &span)
    #expect(ids == whole)
  }
}
