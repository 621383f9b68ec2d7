// Properties of byte-pair encoding that hold for any vocabulary: agreement with a plain loop over
// the rules, round trips on any bytes, long pieces, and use from several threads.

import EmbedData
import Foundation
import TestSupport
import Testing

@Suite struct BytePairTests {
  /// The rules as they read: join the leftmost of the pairs of lowest rank until there is none.
  private struct PlainLoop {
    var bytes: [Int32]
    var merges: [[Int32]: (rank: Int, id: Int32)]

    func encode(_ piece: [UInt8]) -> [Int32] {
      var ids = piece.map { bytes[Int($0)] }
      while true {
        var best: (rank: Int, at: Int, id: Int32)?
        for i in 0..<max(0, ids.count - 1) {
          if let merge = merges[[ids[i], ids[i + 1]]], merge.rank < best?.rank ?? .max {
            best = (merge.rank, i, merge.id)
          }
        }
        guard let best else { return ids }
        ids.replaceSubrange(best.at...best.at + 1, with: [best.id])
      }
    }
  }

  /// A vocabulary over the letters a, b and c with random merges, as files; ids are shuffled, so
  /// that ranks and ids differ.
  private func random(_ seed: UInt64, _ folder: TemporaryFolder) throws -> (
    BytePairTokenizer, PlainLoop
  ) {
    var generator = SeededGenerator(seed: seed)
    var tokens = ["a", "b", "c"]
    var merges: [(String, String)] = []
    while merges.count < 40 {
      let left = tokens[Int.random(in: 0..<tokens.count, using: &generator)]
      let right = tokens[Int.random(in: 0..<tokens.count, using: &generator)]
      if tokens.contains(left + right) { continue }
      tokens.append(left + right)
      merges.append((left, right))
    }
    // GPT-2's own spelling of the 256 bytes.
    let printable = Array(33...126) + Array(161...172) + Array(174...255)
    let rest = (0..<256).filter { !printable.contains($0) }
    var spelling = [String](repeating: "", count: 256)
    for byte in printable { spelling[byte] = String(UnicodeScalar(UInt8(byte))) }
    for (i, byte) in rest.enumerated() {
      spelling[byte] = String(try #require(UnicodeScalar(256 + i)))
    }
    let all = spelling + tokens.dropFirst(3)
    let ids = (0..<Int32(all.count)).shuffled(using: &generator)
    let idOf = Dictionary(uniqueKeysWithValues: zip(all, ids))
    let json = try JSONSerialization.data(withJSONObject: idOf)
    let lines = merges.map { "\($0.0) \($0.1)\n" }.joined()
    let tokenizer = try BytePairTokenizer(
      encoder: try folder.file("encoder.json", [UInt8](json)),
      merges: try folder.file("vocab.bpe", lines))
    var plain = PlainLoop(bytes: Array(ids.prefix(256)), merges: [:])
    for (rank, (left, right)) in merges.enumerated() {
      let pair = [try #require(idOf[left]), try #require(idOf[right])]
      plain.merges[pair] = (rank, try #require(idOf[left + right]))
    }
    return (tokenizer, plain)
  }

  /// Lengths on both sides of the change from scanning to the heap.
  @Test(
    arguments: (0..<12 as Range<UInt64>).inDebug(every: 4), [1, 2, 3, 31, 63, 64, 65, 66, 127, 500])
  func agreesWithThePlainLoop(seed: UInt64, length: Int) throws {
    let (tokenizer, plain) = try random(seed, try TemporaryFolder())
    var generator = SeededGenerator(seed: seed &* 1000 &+ UInt64(length))
    for _ in 0..<4 {
      let piece = (0..<length).map { _ in UInt8.random(in: 97...99, using: &generator) }
      #expect(
        try tokenizer.encode(bytes: piece) == plain.encode(piece), "seed \(seed), length \(length)")
    }
  }

  @Test(arguments: 0..<64 as Range<UInt64>)
  func anyBytesRoundTrip(seed: UInt64) throws {
    let tokenizer = try Resources.small()
    var generator = SeededGenerator(seed: seed)
    let noise = (0..<Int.random(in: 0...2000, using: &generator)).map { _ in
      UInt8.random(in: 0...255, using: &generator)
    }
    for text in [noise, generator.text(parts: 300, wellFormed: false)] {
      for special in [SpecialText.ordinary, .recognised] {
        let ids = try tokenizer.encode(bytes: text, special: special)
        #expect(try tokenizer.decode(ids) == text, "seed \(seed)")
      }
    }
  }

  @Test func encodingAppends() throws {
    let tokenizer = try Resources.small()
    var ids: [Int32] = [7]
    try tokenizer.encode("the".utf8.span, special: .ordinary, into: &ids)
    #expect(ids == [7] + (try tokenizer.encode("the")))
    var text = Array("x".utf8)
    let more = try tokenizer.encode("yz")
    try tokenizer.decode(more.span, into: &text)
    #expect(text == Array("xyz".utf8))
  }

  /// A quadratic merge of a megabyte would take hours.
  @Test(.timeLimit(.minutes(2)), arguments: [UInt8(ascii: "a"), UInt8(ascii: " "), 0x80])
  func aMegabyteWithoutABoundaryIsEncoded(byte: UInt8) throws {
    let tokenizer = try Resources.small()
    // Without optimisation an eighth of it takes as long.
    #if DEBUG
      let count = 1 << 17
    #else
      let count = 1 << 20
    #endif
    let text = [UInt8](repeating: byte, count: count) + [UInt8(ascii: "!")]
    let ids = try tokenizer.encode(bytes: text)
    #expect(try tokenizer.decode(ids) == text)
    let start = byte == UInt8(ascii: "a") ? text : Array(text.prefix(1 << 16))
    let cut = tokenizer.splitPoint(in: start.span)
    #expect(byte == UInt8(ascii: "a") ? cut == count : cut > 1 << 15)
  }

  @Test func threadsShareATokenizer() async throws {
    let tokenizer = try Resources.small()
    let texts = TokenizerCase.all
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<20 {
            for text in texts where try tokenizer.encode(bytes: text.bytes) != text.small {
              return false
            }
          }
          return true
        }
      }
      for try await agreed in group { #expect(agreed) }
    }
  }

  @Test func unknownIDsAreNamed() throws {
    let tokenizer = try Resources.small()
    for id in [Int32(-1), 657, .max, .min] {
      var text = Array("kept".utf8)
      let ids = [1, 2, id, 3]
      #expect(throws: DataError.unknownToken(id: id, position: 2, vocabularySize: 657)) {
        try tokenizer.decode(ids.span, into: &text)
      }
      #expect(text == Array("kept".utf8))
    }
  }

  @Test func byteTokenizerIsTheBytes() throws {
    let tokenizer = ByteTokenizer()
    let every = (0...255).map { UInt8($0) }
    #expect(try tokenizer.encode(bytes: every) == (0...255).map { Int32($0) })
    #expect(try tokenizer.decode((0...255).map { Int32($0) }) == every)
    #expect(try tokenizer.encode("é") == [0xC3, 0xA9])
    #expect(try tokenizer.decodeText([0xC3, 0xA9, 0xFF]) == "é\u{FFFD}")
    #expect(tokenizer.vocabularySize == 256)
    #expect(tokenizer.specialTokens.isEmpty)
    #expect(throws: DataError.unknownToken(id: 256, position: 1, vocabularySize: 256)) {
      try tokenizer.decode([0, 256])
    }
  }
}
