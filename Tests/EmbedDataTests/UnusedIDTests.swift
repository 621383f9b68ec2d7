// Vocabularies that leave ids unused, lack bytes, hold an empty token or come in other people's text
// files. The right values are those of tiktoken 0.14.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct UnusedIDTests {
  private let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  /// A rank file of the bytes with the ids 0 to 255 and more tokens.
  private func ranks(
    _ more: [(String, Int)], without missing: Set<UInt8> = [], ending: String = "\n"
  ) -> String {
    let bytes = (UInt8.min...UInt8.max).filter { !missing.contains($0) }.map {
      (Data([$0]), Int($0))
    }
    return (bytes + more.map { (Data($0.0.utf8), $0.1) }).map {
      "\($0.0.base64EncodedString()) \($0.1)\(ending)"
    }.joined()
  }

  /// One unused id, two side by side, many, and one far away.
  @Test(
    arguments: [
      ([("th", 256), ("the", 258)], "the then", [258, 32, 258, 110]),
      ([("th", 256), ("the", 259)], "the then", [259, 32, 259, 110]),
      ([("th", 300), ("the", 9_000)], "the th", [9_000, 32, 300]),
      ([("th", 257), ("the", 256)], "the th", [256, 32, 257]),
      (
        [("th", 999_999_999), ("he", 1_000_000_000)], "the he",
        [999_999_999, 101, 32, 1_000_000_000]
      ),
      ([("th", 2_147_483_646)], "the", [2_147_483_646, 101]),
    ] as [([(String, Int)], String, [Int32])])
  func ranksMayLeaveGaps(more: [(String, Int)], text: String, ids: [Int32]) throws {
    let path = try folder.file("gaps.tiktoken", ranks(more))
    let tokenizer = try BytePairTokenizer(ranks: path)
    #expect(try tokenizer.encode(text) == ids)
    #expect(try tokenizer.decodeText(ids) == text)
    #expect(tokenizer.vocabularySize == more.map(\.1).max()! + 1)
    #expect(tokenizer.tokenCount == 256 + more.count)
    let used = Set(more.map(\.1) + Array(0..<256))
    for (_, id) in more {
      for id in [id - 1, id, id + 1] where id <= Int(Int32.max) {
        #expect(tokenizer.hasToken(Int32(id)) == used.contains(id), "id \(id)")
        if used.contains(id) { continue }
        let unknown = DataError.unknownToken(
          id: Int32(id), position: 1, vocabularySize: tokenizer.vocabularySize)
        #expect(throws: unknown) { try tokenizer.decode([97, Int32(id)]) }
      }
    }
  }

  /// The same through an encoder and its merges, under either pair of names.
  @Test(
    arguments: [("encoder.json", "vocab.bpe"), ("vocab.json", "merges.txt")], [257, 259, 70_000])
  func encodersMayLeaveGaps(names: (String, String), the: Int) throws {
    var spelling = try JSONDecoder().decode(
      [String: Int].self, from: Data(bytes(of: Resources.fixture("small.encoder.json")))
    ).filter { $0.value < 256 }
    let id = { (byte: Character) in Int32(spelling["\(byte)"] ?? -1) }
    let (t, h, e) = (id("t"), id("h"), id("e"))
    spelling["th"] = 256
    spelling["the"] = the
    spelling["<|end|>"] = the + 3
    let json = try JSONSerialization.data(withJSONObject: spelling)
    _ = try folder.file(names.0, Array(json))
    _ = try folder.file(names.1, "#version: 0.2\nt h\nth e\n")
    for path in [folder.url.path, folder.path(names.0), folder.path(names.1)] {
      let tokenizer = try BytePairTokenizer(vocabulary: path)
      #expect(try tokenizer.encode("thethhe") == [Int32(the), 256, h, e])
      #expect(tokenizer.vocabularySize == the + 4)
      #expect(tokenizer.specialTokens == ["<|end|>": Int32(the) + 3])
      #expect(try tokenizer.encode("t<|end|>", special: .recognised) == [t, Int32(the) + 3])
      #expect(throws: DataError.self) { try tokenizer.decode([Int32(the) + 1]) }
      #expect(!tokenizer.hasToken(Int32(the) + 2) && tokenizer.hasToken(Int32(the) + 3))
    }
  }

  /// tiktoken merges bytes that are no tokens, and fails at one that is left over.
  @Test func bytesWithoutATokenAreNamedWhereTheyStand() throws {
    let path = try folder.file("few.tiktoken", "YWI= 5\nYw== 7\n=  9\n")  // ab, c and an empty one
    let tokenizer = try BytePairTokenizer(ranks: path)
    #expect(tokenizer.vocabularySize == 10)
    #expect(try tokenizer.encode("ab") == [5])
    #expect(try tokenizer.encode("ababc") == [5, 5, 7])
    #expect(try tokenizer.decode([5, 9, 7]) == Array("abc".utf8))
    #expect(tokenizer.hasToken(9) && !tokenizer.hasToken(8))
    let fault = DataError.byteWithoutToken(byte: 0x62, offset: 5)
    #expect(throws: fault) { try tokenizer.encode("abcabb") }
    #expect(
      fault.description
        == "the vocabulary has no token for the byte 98, which the text has at byte 5")
    #expect(throws: DataError.byteWithoutToken(byte: 0x20, offset: 3)) {
      try tokenizer.encode("abc ab")
    }
    // From the start of a file that is read in parts.
    let text = try folder.file("text", String(repeating: "ab", count: 5_000) + "a")
    #expect(throws: DataError.byteWithoutToken(byte: 0x61, offset: 10_000)) {
      try tokenizer.encode(file: text, partSize: 64)
    }
  }

  @Test(arguments: ["\n", "\r\n", "\r"], [true, false])
  func lineEndsAndAByteOrderMarkDoNotMatter(ending: String, hasMark: Bool) throws {
    let mark: [UInt8] = hasMark ? [0xEF, 0xBB, 0xBF] : []
    let path = try folder.file(
      "marked.tiktoken", mark + Array(ranks([("ab", 256)], ending: ending).utf8))
    #expect(try BytePairTokenizer(ranks: path).encode("xab") == [120, 256])
    let encoder = try bytes(of: Resources.fixture("small.encoder.json"))
    let merges = String(
      decoding: try bytes(of: Resources.fixture("small.vocab.bpe")), as: UTF8.self)
    let tokenizer = try BytePairTokenizer(
      encoder: folder.file("encoder.json", mark + encoder),
      merges: folder.file(
        "vocab.bpe", mark + Array(merges.replacing("\n", with: ending).utf8)))
    let text = "The cat sat on the mat."
    #expect(try tokenizer.encode(text) == Resources.small().encode(text))
  }

  @Test(arguments: [[0xFF, 0xFE], [0xFE, 0xFF]] as [[UInt8]])
  func otherEncodingsAreRefused(mark: [UInt8]) throws {
    let path = try folder.file("wide.tiktoken", mark + [0x59, 0x00])
    let fault = DataError.malformedVocabulary(
      path: path, line: 1, reason: "the text is UTF-16; a vocabulary is UTF-8")
    #expect(throws: fault) { try BytePairTokenizer(ranks: path) }
    #expect(throws: fault) { try BytePairTokenizer(encoder: path, merges: path) }
    let broken = try folder.file("encoder.json", Array("{\"".utf8) + [0xC3] + Array("\": 1}".utf8))
    #expect(
      throws: DataError.malformedVocabulary(
        path: broken, line: 1, reason: "expected a key in UTF-8, found the byte 195")
    ) { try BytePairTokenizer(encoder: broken, merges: broken) }
  }

  /// A vocabulary of bytes alone, which once was read before its start.
  @Test func bytesAloneAreAVocabulary() throws {
    let small = try JSONDecoder().decode(
      [String: Int].self, from: Data(bytes(of: Resources.fixture("small.encoder.json")))
    ).filter { $0.value < 256 }
    let tokenizer = try BytePairTokenizer(
      encoder: folder.file(
        "encoder.json", Array(JSONSerialization.data(withJSONObject: small))),
      merges: folder.file("vocab.bpe", ""))
    let every = (UInt8.min...UInt8.max).map { $0 }
    #expect(tokenizer.vocabularySize == 256)
    #expect(try tokenizer.decode(tokenizer.encode(bytes: every)) == every)
    #expect(tokenizer.id(of: []) == nil)
  }

  /// A vocabulary is silent about how text is cut for it; that of GPT-4 is told by its tokens.
  @Test(arguments: [(30, false), (10, true)])
  func aVocabularyForAnotherPatternIsRefused(share: Int, isRefused: Bool) throws {
    let letters = Array("abcdefghijklmnopqrstuvwxyz").map(String.init)
    let tokens = (0..<20_000).map { i in
      letters[i % 26] + letters[i / 26 % 26] + letters[i / 676 % 26] + letters[i / 17_576]
        + (i % share == 0 ? ";\n" : "")
    }
    let path = try folder.file(
      "other.tiktoken", ranks(tokens.enumerated().map { ($1, 256 + $0) }))
    guard isRefused else {
      #expect(try BytePairTokenizer(ranks: path).encode("baaa") == [257])
      return
    }
    #expect(
      throws: DataError.otherPattern(
        path: path, example: "aaaa;\n", count: 2_000, of: 20_256)
    ) { try BytePairTokenizer(ranks: path) }
  }

  // MARK: Files by one path

  @Test func aVocabularyIsFoundByOnePath() throws {
    let encoder = try bytes(of: Resources.fixture("small.encoder.json"))
    let merges = try bytes(of: Resources.fixture("small.vocab.bpe"))
    let ranks = try bytes(of: Resources.fixture("small.tiktoken"))
    let text = "The cat sat on the mat."
    let ids = try Resources.small().encode(text)
    func noVocabulary(_ path: String, _ reason: String) {
      #expect(throws: DataError.noVocabulary(path: path, reason: reason)) {
        try BytePairTokenizer(vocabulary: path)
      }
    }
    let path = folder.url.path
    noVocabulary(
      path,
      "none of its files is encoder.json with vocab.bpe, vocab.json with merges.txt, or a rank "
        + "file, .tiktoken")
    let named = try folder.file("gpt2-vocab.json", encoder)
    noVocabulary(path, "gpt2-vocab.json lacks gpt2-merges.txt")
    noVocabulary(named, "'\(path)/gpt2-merges.txt' is not beside it")
    let partner = try folder.file("gpt2-merges.txt", merges)
    for given in [path, named, partner] {
      #expect(try BytePairTokenizer(vocabulary: given).encode(text) == ids)
    }
    let single = try folder.file("my.tiktoken", ranks)
    noVocabulary(
      path,
      "it holds several, of which one must be named: gpt2-vocab.json with gpt2-merges.txt; "
        + "my.tiktoken")
    #expect(try BytePairTokenizer(vocabulary: single).encode(text) == ids)
    let plain = try folder.file("ranks", ranks)
    #expect(try BytePairTokenizer(vocabulary: plain).encode(text) == ids)
    let other = try folder.file("tokenizer.json", encoder)
    noVocabulary(
      other,
      "a JSON object is read by the name encoder.json or vocab.json, beside its merges")
    for name in ["none", "none/vocab.json", "merges.txt"] {
      let missing = folder.path(name)
      #expect(throws: DataError.file(.system(operation: "open", path: missing, code: ENOENT))) {
        try BytePairTokenizer(vocabulary: missing)
      }
    }
  }

  #if os(Linux)
    @Test(.timeLimit(.minutes(1))) func aDeviceWithoutEndIsRefused() throws {
      let error = #expect(throws: DataError.self) {
        try BytePairTokenizer(vocabulary: "/dev/zero")
      }
      #expect(error.map { "\($0)" }?.contains("'/dev/zero' is not a regular file") == true)
    }
  #endif
}
