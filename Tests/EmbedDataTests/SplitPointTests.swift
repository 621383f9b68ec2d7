// A text encoded in parts must give the ids of the whole: at any cut that `splitPoint` offers, for
// any text, with and without special tokens, and through files at every part size.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct SplitPointTests {
  @Test(arguments: 0..<150 as Range<UInt64>)
  func cutsDoNotChangeIDs(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let tokenizer = try Resources.small()
    let text = generator.text(parts: 60, wellFormed: seed.isMultiple(of: 2))
    for special in [SpecialText.ordinary, .recognised] {
      let whole = try tokenizer.encode(bytes: text, special: special)
      // The cut is chosen with only the first `known` bytes in sight, as when a file is read.
      for known in 1...max(1, text.count) {
        let cut = tokenizer.splitPoint(in: Array(text.prefix(known)).span)
        #expect((0..<max(1, known)).contains(cut))
        let head = try tokenizer.encode(bytes: Array(text.prefix(cut)), special: special)
        let tail = try tokenizer.encode(bytes: Array(text.dropFirst(cut)), special: special)
        #expect(head + tail == whole, "seed \(seed), \(known) bytes known, cut at \(cut)")
      }
    }
  }

  @Test func proseIsCutNearItsEnd() throws {
    let tokenizer = try Resources.small()
    #expect(tokenizer.splitPoint(in: "The cat sat".utf8.span) == 7)
    #expect(tokenizer.splitPoint(in: "猫が\nいる".utf8.span) == 6)
    #expect(tokenizer.splitPoint(in: "abc123".utf8.span) == 3)
    #expect(tokenizer.splitPoint(in: "abc's".utf8.span) == 3)
  }

  @Test(
    arguments: [
      "", "a", " ", "abc", "猫が座る", "a ", "x\u{3000} y", "x\u{A0} y", "x\u{2003} y", "x\u{85}\ny",
      "x'", "'s", "<|endoftext|>", "a<|endof",
    ])
  func unsafePlacesAreNotCut(text: String) throws {
    let cut = try Resources.small().splitPoint(in: text.utf8.span)
    // Only these have one: in front of a space, a sign, or what may become a special token.
    let allowed =
      [
        "a ": 1, "x'": 1, "a<|endof": 1, "x\u{3000} y": 1, "x\u{A0} y": 1, "x\u{2003} y": 1,
        "x\u{85}\ny": 1,
      ][text] ?? 0
    #expect(cut == allowed, "\(text.debugDescription)")
  }

  @Test func aSpecialTokenWithSpacesIsNotCut() throws {
    let tokenizer = try BytePairTokenizer(
      ranks: Resources.fixture("small.tiktoken"), specialTokens: ["a b": 700, "b c d": 701])
    let text = Array("xa b c d, a b, a b c".utf8)
    let whole = try tokenizer.encode(bytes: text, special: .recognised)
    for known in 1...text.count {
      let cut = tokenizer.splitPoint(in: Array(text.prefix(known)).span)
      let parts = try [text.prefix(cut), text.dropFirst(cut)].flatMap {
        try tokenizer.encode(bytes: Array($0), special: .recognised)
      }
      #expect(parts == whole, "\(known) bytes known, cut at \(cut)")
    }
  }

  @Test(arguments: [1, 2, 3, 7, 16, 100, 4096, 1 << 20], [SpecialText.ordinary, .recognised])
  func filesInPartsGiveTheIDsOfTheWhole(partSize: Int, special: SpecialText) throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: 11)
    var text = generator.text(parts: 1500, wellFormed: false)
    for fixture in TokenizerCase.all { text += fixture.bytes }
    let folder = try TemporaryFolder()
    let source = try folder.file("text", text)
    let target = folder.url.path + "/text.bin"
    let summary = try TokenFile.write(
      tokenizing: source, with: tokenizer, special: special, to: target, partSize: partSize)
    let whole = try tokenizer.encode(bytes: text, special: special)
    #expect(summary.bytes == text.count)
    #expect(summary.tokens == whole.count)
    #expect(summary.width == .uint16)
    var ids = [Int32](repeating: 0, count: whole.count)
    var span = ids.mutableSpan
    try TokenFile(path: target, width: .uint16).read(0..<whole.count, into: &span)
    #expect(ids == whole)
    #expect(try folder.contents == ["text", "text.bin"])
  }

  @Test(
    .enabled(if: Resources.hasShakespeare, "The plays are not cached: run scripts/setup-data"))
  func thePlaysInPartsGiveTheIDsOfTheWhole() throws {
    let tokenizer = try Resources.gpt2()
    let folder = try TemporaryFolder()
    let target = folder.url.path + "/plays.bin"
    let summary = try TokenFile.write(
      tokenizing: Resources.shakespeare, with: tokenizer, to: target, partSize: 10_007)
    let whole = try tokenizer.encode(bytes: try bytes(of: Resources.shakespeare))
    #expect(summary.tokens == 1_796_954)
    var ids = [Int32](repeating: 0, count: whole.count)
    var span = ids.mutableSpan
    try TokenFile(path: target, width: .uint16).read(0..<whole.count, into: &span)
    #expect(ids == whole)
  }

  @Test func errorsCountFromTheStartOfTheFileAndLeaveTheTarget() throws {
    let tokenizer = try Resources.small()
    let folder = try TemporaryFolder()
    let source = try folder.file(
      "text", String(repeating: "the cat ", count: 100) + "<|endoftext|>")
    let target = try folder.file("old.bin", "before")
    #expect(throws: DataError.specialTokenInText(token: "<|endoftext|>", offset: 800)) {
      try TokenFile.write(
        tokenizing: source, with: tokenizer, special: .refused, to: target, partSize: 64)
    }
    #expect(try bytes(of: target) == Array("before".utf8))
    #expect(try folder.contents == ["old.bin", "text"])
    #expect(
      throws: DataError.file(
        .system(operation: "open", path: folder.url.path + "/none", code: ENOENT))
    ) {
      try TokenFile.write(tokenizing: folder.url.path + "/none", with: tokenizer, to: target)
    }
    #expect(throws: DataError.file(.system(operation: "read", path: folder.url.path, code: EISDIR)))
    {
      try TokenFile.write(tokenizing: folder.url.path, with: tokenizer, to: target)
    }
    #expect(
      throws: DataError.invalidSetting(name: "partSize", value: 0, requirement: "at least 1")
    ) { try TokenFile.write(tokenizing: source, with: tokenizer, to: target, partSize: 0) }
  }
}
