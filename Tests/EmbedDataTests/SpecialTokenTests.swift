// Special tokens in text: by choice ordinary text, ids, or refused.

import EmbedData
import Foundation
import Testing

@Suite struct SpecialTokenTests {
  private let text = "one<|endoftext|>two"

  @Test func theChoiceDecides() throws {
    let tokenizer = try Resources.small()
    let one = try tokenizer.encode("one")
    let two = try tokenizer.encode("two")
    #expect(try tokenizer.encode(text, special: .recognised) == one + [656] + two)
    let ordinary = try tokenizer.encode(text)
    #expect(!ordinary.contains(656))
    #expect(try tokenizer.decodeText(ordinary) == text)
    let refusal = DataError.specialTokenInText(token: "<|endoftext|>", offset: 3)
    #expect(throws: refusal) { try tokenizer.encode(text, special: .refused) }
    #expect(
      refusal.description == "the text contains the special token '<|endoftext|>' at byte 3")
    #expect(try tokenizer.encode("one<|end", special: .refused) == tokenizer.encode("one<|end"))
  }

  @Test func refusalLeavesTheIDs() throws {
    let tokenizer = try Resources.small()
    var ids: [Int32] = [1, 2]
    #expect(throws: DataError.self) {
      try tokenizer.encode(text.utf8.span, special: .refused, into: &ids)
    }
    #expect(ids == [1, 2])
  }

  @Test func theLongestNameWins() throws {
    let specials: [String: Int32] = ["<a>": 700, "<a><b>": 800, "<a": 900, "é!": 701]
    let tokenizer = try BytePairTokenizer(
      ranks: Resources.fixture("small.tiktoken"), specialTokens: specials)
    #expect(tokenizer.vocabularySize == 901)
    #expect(try tokenizer.encode("<a><b><a><aé!", special: .recognised) == [800, 700, 900, 701])
    #expect(try tokenizer.decodeText([800, 700, 900, 701]) == "<a><b><a><aé!")
    #expect(throws: DataError.unknownToken(id: 702, position: 0, vocabularySize: 901)) {
      try tokenizer.decode([702])
    }
  }

  @Test(
    arguments: [
      (["x": 3], "the token 'x' with the id 3 has an ordinary token's id"),
      (["": 700], "the token '' with the id 700 is empty"),
      (["x": -1], "the token 'x' has the id -1, outside 0...2147483646"),
      (["x": .max], "the token 'x' has the id 2147483647, outside 0...2147483646"),
    ] as [([String: Int32], String)])
  func conflictsAreNamed(specials: [String: Int32], message: String) throws {
    let path = Resources.fixture("small.tiktoken")
    let error = #expect(throws: DataError.self) {
      try BytePairTokenizer(ranks: path, specialTokens: specials)
    }
    #expect(error?.description == message)
  }

  /// GPT-2's belongs to GPT-2's vocabulary alone.
  @Test func aRankFileHasNoSpecialTokenThatIsNotTold() throws {
    let tokenizer = try BytePairTokenizer(ranks: Resources.fixture("small.tiktoken"))
    #expect(tokenizer.specialTokens.isEmpty)
    #expect(tokenizer.vocabularySize == 656)
    #expect(try tokenizer.encode(text, special: .refused) == tokenizer.encode(text))
  }

  @Test func twoSpecialsCannotShareAnID() throws {
    let path = Resources.fixture("small.tiktoken")
    #expect(throws: DataError.self) {
      try BytePairTokenizer(ranks: path, specialTokens: ["x": 700, "y": 700])
    }
  }
}
