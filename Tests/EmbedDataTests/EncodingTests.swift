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
    for threads in [1, 2, 5, nil] {
      var ids: [Int32] = [7]
      try tokenizer.encode(text.span, special: special, threads: threads, into: &ids)
      #expect(ids == [7] + whole, "seed \(seed), \(threads ?? 0) threads")
    }
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
