// Reading vocabularies, texts and files of tokens.

import EmbedData

private let sample = Array("the cat, the hat & 1234567 caf\u{e9} \u{4f60}\u{597d} \n\t'll".utf8)

/// A vocabulary: what it encodes it decodes to the same.
func readVocabulary(_ tokenizer: BytePairTokenizer) throws {
  require(tokenizer.vocabularySize > 0, "a vocabulary of nothing")
  let ids = try tokenizer.encode(bytes: sample)
  for id in ids { require(id >= 0 && id < tokenizer.vocabularySize, "an id outside: \(id)") }
  require(try tokenizer.decode(ids) == sample, "decoded to another text")
}

/// A small vocabulary, of bytes and a few merges.
private let small: BytePairTokenizer? = {
  let merged = ["th", "the", " t", " the", "in", "er", "an", "  ", "\n\n", "\u{e9}"].map {
    Array($0.utf8)
  }
  let tokens = (0..<256).map { [UInt8($0)] } + merged
  let lines = tokens.enumerated().map { "\(base64($1)) \($0)\n" }
  return try? Input(bytes: Array(lines.joined().utf8)).file("small.tiktoken").tokenizer
}()

extension String {
  fileprivate var tokenizer: BytePairTokenizer {
    get throws { try BytePairTokenizer(ranks: self, specialTokens: [:]) }
  }
}

private func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var text: [UInt8] = []
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let part = bytes[start..<min(start + 3, bytes.count)]
    let value = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
    for i in 0..<4 {
      text.append(i <= part.count ? alphabet[value >> (6 * (3 - i)) & 63] : UInt8(ascii: "="))
    }
  }
  return String(decoding: text, as: UTF8.self)
}

/// Any bytes as a text: in one piece and cut where the tokenizer says, the tokens are the same.
func readText(_ bytes: [UInt8]) throws {
  guard let small else { fatalError("no small vocabulary") }
  let ids = try small.encode(bytes: bytes)
  require(try small.decode(ids) == bytes, "decoded to another text")
  let cut = small.splitPoint(in: bytes.span)
  require((0...bytes.count).contains(cut), "cut outside of the text")
  let (head, tail) = (Array(bytes[..<cut]), Array(bytes[cut...]))
  let parts = try small.encode(bytes: head) + small.encode(bytes: tail)
  require(parts == ids, "other tokens in two parts")
}

/// A file of tokens of both widths.
func readTokens(_ path: String) throws {
  for width in [TokenWidth.uint16, .uint32] {
    guard let file = try? TokenFile(path: path, width: width) else { continue }
    try? file.validate(vocabularySize: 1_000)
    var ids = [Int32](repeating: 0, count: file.count)
    var span = ids.mutableSpan
    try? file.read(0..<file.count, into: &span)
  }
}

/// Any bytes as a text: the pieces by SIMD, a character at a time and by PCRE2 are the same.
func readPieces(_ bytes: [UInt8]) throws {
  let matcher = try TextPatternMatcher(try pattern.get())
  let expected = try TextPieces.ends(bytes, by: matcher)
  require(TextPieces.endsByCharacter(bytes) == expected, "other pieces a character at a time")
  for window in [1, 50, 8_192] {
    for set in TextPieces.sets {
      require(
        TextPieces.ends(bytes, window: window, set: set) == expected,
        "other pieces in windows of \(window) by set \(set)")
    }
  }
}

/// Any bytes as a text: the ids by each instruction set, from an empty cache and from a full one, in the
/// caller's memory, and by PCRE2's pieces one at a time are the same.
func readIDs(_ bytes: [UInt8]) throws {
  guard let small else { fatalError("no small vocabulary") }
  let matcher = try TextPatternMatcher(try pattern.get())
  var expected: [Int32] = []
  var start = 0
  for end in try TextPieces.ends(bytes, by: matcher) {
    expected += try small.encode(bytes: Array(bytes[start..<end]))
    start = end
  }
  for set in TextPieces.sets {
    for times in 1...2 {
      require(
        small.encode(bytes, set: set, times: times) == expected,
        "other ids by set \(set), the time \(times)")
    }
  }
  var target = [Int32](repeating: -1, count: bytes.count)
  var span = target.mutableSpan
  let count = try small.encode(bytes.span, into: &span)
  require(Array(target[..<count]) == expected, "other ids in the caller's memory")
}

private let pattern = Result { () throws(DataError) in try TextPattern() }
