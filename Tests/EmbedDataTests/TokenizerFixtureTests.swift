// The same ids as tiktoken, on texts in many scripts and on bytes that are no text. The little
// vocabulary is committed, so those tests always run; GPT-2's own are skipped where it isn't cached.

import EmbedData
import Foundation
import TestSupport
import Testing

/// One text of Fixtures/tokenizer.json with its ids from tiktoken.
struct TokenizerCase: Decodable, Sendable, CustomTestStringConvertible {
  var name: String
  var base64: Data
  var small: [Int32]
  var gpt2: [Int32]
  var smallSpecial: [Int32]?
  var gpt2Special: [Int32]?

  enum CodingKeys: String, CodingKey {
    case name, base64, small, gpt2
    case smallSpecial = "small_special"
    case gpt2Special = "gpt2_special"
  }

  var bytes: [UInt8] { [UInt8](base64) }
  var testDescription: String { name }

  static let all: [TokenizerCase] = {
    struct File: Decodable { var cases: [TokenizerCase] }
    let url = URL(fileURLWithPath: Resources.fixture("tokenizer.json"))
    // A fixture that can't be read leaves no cases, which `thereAreCases` reports.
    guard let data = try? Data(contentsOf: url) else { return [] }
    return (try? JSONDecoder().decode(File.self, from: data).cases) ?? []
  }()
}

@Suite struct TokenizerFixtureTests {
  @Test func thereAreCases() { #expect(TokenizerCase.all.count == 52) }

  @Test(arguments: TokenizerCase.all)
  func smallVocabularyMatchesTiktoken(_ text: TokenizerCase) throws {
    try check(try Resources.small(), text.bytes, text.small, text.smallSpecial)
  }

  @Test(arguments: TokenizerCase.all)
  func rankFileMatchesTiktoken(_ text: TokenizerCase) throws {
    let tokenizer = try BytePairTokenizer(
      ranks: Resources.fixture("small.tiktoken"), specialTokens: ["<|endoftext|>": 656])
    try check(tokenizer, text.bytes, text.small, text.smallSpecial)
  }

  @Test(.enabled(if: Resources.hasGPT2, Resources.needsGPT2), arguments: TokenizerCase.all)
  func gpt2MatchesTiktoken(_ text: TokenizerCase) throws {
    try check(try Self.gpt2.get(), text.bytes, text.gpt2, text.gpt2Special)
  }

  @Test(.enabled(if: Resources.hasGPT2, Resources.needsGPT2))
  func gpt2FromDerivedRanksMatches() throws {
    let gpt2 = try Self.gpt2.get()
    var lines = ""
    for id in Int32(0)..<50_256 {
      let token = try #require(gpt2.bytes(of: id))
      lines += Data(token).base64EncodedString() + " \(id)\n"
    }
    let folder = try TemporaryFolder()
    let ranks = try BytePairTokenizer(ranks: try folder.file("gpt2.tiktoken", lines))
    #expect(ranks.vocabularySize == 50_257)
    for text in TokenizerCase.all {
      #expect(try ranks.encode(bytes: text.bytes) == text.gpt2, "\(text.name)")
    }
  }

  @Test(.enabled(if: Resources.hasGPT2, Resources.needsGPT2))
  func gpt2HasItsPublishedShape() throws {
    let gpt2 = try Self.gpt2.get()
    #expect(gpt2.vocabularySize == 50_257)
    #expect(gpt2.specialTokens == ["<|endoftext|>": 50_256])
    #expect(gpt2.id(of: Array(" the".utf8)) == 262)
    #expect(gpt2.bytes(of: 50_256) == Array("<|endoftext|>".utf8))
    #expect(gpt2.bytes(of: 50_257) == nil)
    #expect(gpt2.bytes(of: -1) == nil)
  }

  @Test(
    .enabled(if: Resources.hasShakespeare, "The plays are not cached: run scripts/setup-data"))
  func playsHaveTheKnownLength() throws {
    let gpt2 = try Self.gpt2.get()
    let text = try bytes(of: Resources.shakespeare)
    let ids = try gpt2.encode(bytes: text)
    #expect(ids.count == 1_796_954)
    #expect(try gpt2.decode(ids) == text)
  }

  /// Loaded once: a debug build takes seconds to.
  private static let gpt2 = Result { try Resources.gpt2() }

  private func check(
    _ tokenizer: BytePairTokenizer, _ text: [UInt8], _ ids: [Int32], _ withSpecial: [Int32]?
  ) throws {
    #expect(try tokenizer.encode(bytes: text) == ids)
    #expect(try tokenizer.decode(ids) == text)
    if let withSpecial {
      #expect(try tokenizer.encode(bytes: text, special: .recognised) == withSpecial)
      #expect(try tokenizer.decode(withSpecial) == text)
    }
  }
}
