// `tokenize`: ids as tiktoken gives them, for vocabularies of any shape, in little memory.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct TokenizeTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func ids(_ path: String, _ width: TokenWidth) throws -> [Int32] {
    let file = try TokenFile(path: path, width: width)
    var ids = [Int32](repeating: 0, count: file.count)
    var span = ids.mutableSpan
    try file.read(0..<file.count, into: &span)
    return ids
  }

  @Test(arguments: [("uint16", TokenWidth.uint16), ("uint32", .uint32)])
  func writesBytesAsIDs(_ name: String, _ width: TokenWidth) throws {
    let text = try folder.file("text.txt", "Grüße\n")
    let out = folder.path("out.bin")
    let result = try embedkernel([
      "tokenize", text, "--output", out, "--tokenizer", "byte", "--width", name,
    ])
    #expect(result.code == 0)
    #expect(result.output.isEmpty)
    #expect(result.errors.contains("tokens     8, 1.00 bytes each"))
    #expect(try ids(out, width) == Array("Grüße\n".utf8).map { Int32($0) })
  }

  /// Unused ids stay unused: as tiktoken 0.14 has it, whatever lies between.
  @Test func readsARankFileWithUnusedIDs() throws {
    let vocabulary = try rankFile(folder, [("th", 256), ("the", 259)])
    let text = try folder.file("text.txt", "the then")
    let out = folder.path("out.bin")
    let result = try embedkernel(["tokenize", text, "--output", out, "--vocabulary", vocabulary])
    #expect(result.code == 0, "\(result.errors)")
    #expect(result.errors.contains("vocabulary of 260"))
    #expect(try ids(out, .uint16) == [259, 32, 259, 110])
  }

  /// A vocabulary's special tokens are its own, at its own ids; a rank file names none.
  @Test func specialTokensAreTheVocabularysOwn() throws {
    let ranks = try rankFile(folder, [("th", 256), ("the", 257)])
    let text = try folder.file("text.txt", "the<|endoftext|>")
    let out = folder.path("out.bin")
    let none = try embedkernel([
      "tokenize", text, "--output", out, "--vocabulary", ranks, "--special", "token",
    ])
    #expect(none.code == 0, "\(none.errors)")
    #expect(none.errors.contains("the vocabulary has no special tokens"))
    #expect(try ids(out, .uint16) == [257] + "<|endoftext|>".utf8.map { Int32($0) })

    let pair = try TemporaryFolder()
    // ASCII's printable characters stand for themselves in GPT-2's alphabet.
    let ascii = (33...126).map { String(UnicodeScalar(UInt8($0))) }
    let all = ascii + ["th", "the", "<|endoftext|>"]
    let numbered = Dictionary(uniqueKeysWithValues: all.enumerated().map { ($1, $0) })
    _ = try pair.file("vocab.json", Array(JSONSerialization.data(withJSONObject: numbered)))
    let merges = try pair.file("merges.txt", "#version: 0.2\nt h\nth e\n")
    for path in [pair.url.path, pair.path("vocab.json"), merges] {
      let result = try embedkernel([
        "tokenize", text, "--output", out, "--vocabulary", path, "--special", "token",
      ])
      #expect(result.code == 0, "\(result.errors)")
      #expect(try ids(out, .uint16) == [95, 96])
    }
    let refused = try embedkernel([
      "tokenize", text, "--output", folder.path("no.bin"), "--vocabulary", merges,
      "--special", "error",
    ])
    #expect(refused.code == 1)
    #expect(refused.errors.contains("'<|endoftext|>' at byte 3"))
    let line = try folder.file("line.txt", "the the")
    let missing = try embedkernel([
      "tokenize", line, "--output", folder.path("no.bin"), "--vocabulary", merges,
    ])
    #expect(missing.code == 1)
    #expect(missing.errors.contains("no token for the byte 32, which the text has at byte 3"))
    #expect(try !folder.contents.contains("no.bin"))
  }

  @Test func namesWhatItCannotRead() throws {
    let result = try embedkernel([
      "tokenize", folder.path("absent"), "--output", folder.path("x.bin"), "--tokenizer", "byte",
    ])
    #expect(result.code == 1)
    #expect(result.errors.contains(folder.path("absent")))
    #expect(try folder.contents.isEmpty)
  }

  // MARK: Memory

  // Without optimisation this takes minutes.
  #if os(Linux) && !DEBUG
    /// One line, without a space or an end: Chinese with and without punctuation, one letter, bytes of
    /// no text. Read whole, 16 MB of it took 500 MB more than a short text does.
    @Test(
      arguments: [
        "今天天气很好，我们去公园吧！", "今天天气很好我们去公园吧", "a", "\u{3000}", "\u{80}",
      ])
    func memoryStaysSmall(unit: String) throws {
      let vocabulary = try rankFile(
        folder, [("今", 256), ("天天", 257), ("aa", 258), ("aaaa", 259), ("気", 260)])
      // Not UTF-8 for the last.
      let bytes = unit == "\u{80}" ? [0x80] : Array(unit.utf8)
      func peak(_ count: Int) throws -> (kilobytes: Int, tokens: Int) {
        let text = try folder.file(
          "text", Array([[UInt8]](repeating: bytes, count: count / bytes.count).joined()))
        let out = folder.path("out.bin")
        let peak = try peakOfEmbedkernel([
          "tokenize", text, "--output", out, "--vocabulary", vocabulary,
        ])
        return (peak, try TokenFile(path: out, width: .uint16).count)
      }
      let short = try peak(300)
      let long = try peak(16_000_000)
      #expect(long.tokens > 2_000_000)
      #expect(
        long.kilobytes - short.kilobytes < 40_000, "\(long.kilobytes) kB, not \(short.kilobytes)")
    }
  #endif
}
