// Vocabulary files that break their format: each fault is named with its file and line, and no
// bytes at all make the readers trap.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct VocabularyFileTests {
  @Test(
    arguments: [
      ("", "line 1: expected '{', found the end of the file"),
      ("[]", "line 1: expected '{', found '['"),
      ("{\n\"a\" 1}", "line 2: expected ':', found '1'"),
      ("{\"a\": -1}", "line 1: expected a number of zero or more, found '-'"),
      ("{\"a\": 1.5}", "line 1: expected '}', found '.'"),
      ("{\"a\": 1,\n\n}", "line 3: expected a key in quotes, found '}'"),
      (
        "{\"a\": 99999999999999999999}", "line 1: expected a number that fits in 63 bits, found '9'"
      ),
      ("{\"a", "line 1: expected a key with a closing quote, found the end of the file"),
      ("{\"a\nb\": 1}", "line 1: expected no control character, found the byte 10"),
      ("{\"\\q\": 1}", "line 1: expected a known escape, found 'q'"),
      ("{\"\\u12G4\": 1}", "line 1: expected four hexadecimal digits, found 'G'"),
      ("{\"\\ud800x\": 1}", "line 1: expected no unpaired surrogate, found 'x'"),
      ("{\"\\ud800\\u0041\": 1}", "line 1: expected a low surrogate before this, found '\"'"),
      ("{\"\\", "line 1: expected a known escape, found the end of the file"),
      ("{} {}", "line 1: expected nothing but spaces after the object, found '{'"),
      ("{}", "line 1: no token from here to the end of the file"),
      ("{\"\": 1}", "line 1: no token from here to the end of the file"),
      ("{\"a\": 1,\n\"b\": 1}", "line 2: the token 'b' with the id 1 repeats an id"),
      ("{\"a\": 1,\n\"€\": 1}", "line 2: the token '€' with the id 1 repeats an id"),
      (
        "{\"a\": 2,\n\n\"a\": 1}",
        "line 3: the token 'a' with the id 2 has the bytes of the id 1"
      ),
      (
        "{\"a\": 2147483647}",
        "line 1: the token 'a' has the id 2147483647, outside 0...2147483646"
      ),
    ] as [(String, String)])
  func encoderFaultsAreLocated(json: String, message: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("encoder.json", json)
    let error = #expect(throws: DataError.self) {
      try BytePairTokenizer(encoder: path, merges: try folder.file("vocab.bpe", ""))
    }
    let text = error?.description ?? ""
    #expect(text == "\(path), \(message)")
  }

  @Test(
    arguments: [
      ("#version: 0.2\na\n", "line 2: 1 tokens instead of two to merge"),
      ("a b c\n", "line 1: 3 tokens instead of two to merge"),
      ("#version\n\na €\n", "line 3: '€' is not in GPT-2's byte alphabet"),
      ("a qqq\n", "line 1: the encoder has no token 'qqq'"),
      ("q q\n", "line 1: the encoder has no token 'qq'"),
      (
        "#version\r\ni n</w>\r\n",
        "line 2: 'n</w>' marks the end of a word, which no encoding of GPT-2's kind does"
      ),
    ] as [(String, String)])
  func mergeFaultsAreLocated(merges: String, message: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("vocab.bpe", merges)
    let error = #expect(throws: DataError.self) {
      try BytePairTokenizer(encoder: Resources.fixture("small.encoder.json"), merges: path)
    }
    #expect(error?.description == "\(path), \(message)")
  }

  @Test func aRepeatedMergeIsRefused() throws {
    let folder = try TemporaryFolder()
    let merges = String(
      decoding: try bytes(of: Resources.fixture("small.vocab.bpe")), as: UTF8.self)
    let line = try #require(merges.split(separator: "\n").dropFirst().first)
    let path = try folder.file("vocab.bpe", merges + line)
    let count = merges.split(separator: "\n").count
    #expect(
      throws: DataError.malformedVocabulary(
        path: path, line: count + 1, reason: "repeats a merge")
    ) { try BytePairTokenizer(encoder: Resources.fixture("small.encoder.json"), merges: path) }
  }

  @Test(
    arguments: [
      ("YQ==\n", "line 1: 1 fields instead of a token and its rank"),
      ("YQ== 0\n\nYQ 1\n", "line 3: 'YQ' is no token in base64"),
      ("Y!== 0\n", "line 1: 'Y!==' is no token in base64"),
      ("YR== 0\n", "line 1: 'YR==' is no token in base64"),
      ("=YQ= 0\n", "line 1: '=YQ=' is no token in base64"),
      ("====\n", "line 1: 1 fields instead of a token and its rank"),
      ("YQ== x\n", "line 1: 'x' is no rank"),
      ("YQ== -1\n", "line 1: '-1' is no rank"),
      ("", "line 1: no token from here to the end of the file"),
      ("\n\r\n", "line 1: no token from here to the end of the file"),
      ("YQ== 0\nYg== 0\n", "line 2: the token 'b' with the id 0 repeats an id"),
      ("YQ== 1\r\nYQ== 0\r\n", "line 2: the token 'a' with the id 1 has the bytes of the id 0"),
      ("YQ== 0\rYQ== 1\r", "line 2: the token 'a' with the id 1 has the bytes of the id 0"),
      ("= 0\n= 1\n", "line 2: the token '' with the id 1 has the bytes of the id 0"),
      ("YQ== 2147483647\n", "line 1: the token 'a' has the id 2147483647, outside 0...2147483646"),
    ] as [(String, String)])
  func rankFaultsAreLocated(ranks: String, message: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.file("small.tiktoken", ranks)
    let error = #expect(throws: DataError.self) { try BytePairTokenizer(ranks: path) }
    #expect(error?.description == "\(path), \(message)")
  }

  @Test func missingFilesAreNamed() throws {
    let folder = try TemporaryFolder()
    let missing = folder.url.path + "/none"
    let error = #expect(throws: DataError.self) { try BytePairTokenizer(ranks: missing) }
    #expect(error == .file(.system(operation: "open", path: missing, code: ENOENT)))
    #expect(error?.description == "cannot open '\(missing)': No such file or directory")
    #expect(throws: DataError.file(.notRegularFile(path: folder.url.path))) {
      try BytePairTokenizer(ranks: folder.url.path)
    }
  }

  /// Bytes changed, cut and doubled at random: a tokenizer or a typed error, never a trap.
  @Test(arguments: 0..<60 as Range<UInt64>)
  func damagedFilesNeverTrap(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let folder = try TemporaryFolder()
    func damaged(_ name: String) throws -> String {
      var file = try bytes(of: Resources.fixture(name))
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let at = Int.random(in: 0..<file.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: file[at] = UInt8.random(in: 0...255, using: &generator)
        case 1: file.removeSubrange(at..<min(file.count, at + 5))
        default: file.insert(contentsOf: file[at..<min(file.count, at + 9)], at: at)
        }
      }
      return try folder.file(name, file)
    }
    let encoder = try damaged("small.encoder.json")
    let merges = try damaged("small.vocab.bpe")
    let ranks = try damaged("small.tiktoken")
    let small = Resources.fixture("small.encoder.json")
    let text = Array("Où est <|endoftext|> le chat's \u{FF11}?".utf8)
    for load in [
      { try BytePairTokenizer(encoder: encoder, merges: Resources.fixture("small.vocab.bpe")) },
      { try BytePairTokenizer(encoder: small, merges: merges) },
      { try BytePairTokenizer(ranks: ranks, specialTokens: ["<|endoftext|>": 700]) },
    ] {
      do {
        let tokenizer = try load()
        let ids = try tokenizer.encode(bytes: text, special: .recognised)
        #expect(try tokenizer.decode(ids) == text, "seed \(seed)")
      } catch is DataError {
        continue
      }
    }
  }
}
