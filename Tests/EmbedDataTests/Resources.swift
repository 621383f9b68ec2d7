// The committed fixtures, the cached vocabulary of GPT-2, and texts that are drawn.

import EmbedData
import Foundation
import TestSupport
import Testing

/// Files that the tests read.
enum Resources {
  static func fixture(_ name: String) -> String {
    Bundle.module.bundleURL.appendingPathComponent("Fixtures/\(name)").path
  }

  static var cache: String {
    let environment = ProcessInfo.processInfo.environment
    let base = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
    return (base ?? NSHomeDirectory() + "/.cache") + "/embedkernel"
  }

  static let gpt2Encoder = cache + "/gpt2/encoder.json"
  static let gpt2Merges = cache + "/gpt2/vocab.bpe"
  static let shakespeare = cache + "/shakespeare/shakespeare.txt"

  /// Whether scripts/setup-data has fetched GPT-2's vocabulary.
  static let hasGPT2 = [gpt2Encoder, gpt2Merges].allSatisfy(FileManager.default.fileExists)

  static let hasShakespeare = hasGPT2 && FileManager.default.fileExists(atPath: shakespeare)

  static let needsGPT2: Comment = "GPT-2's vocabulary is not cached: run scripts/setup-data"

  static func small() throws -> BytePairTokenizer {
    try BytePairTokenizer(
      encoder: fixture("small.encoder.json"), merges: fixture("small.vocab.bpe"))
  }

  static func gpt2() throws -> BytePairTokenizer {
    try BytePairTokenizer(encoder: gpt2Encoder, merges: gpt2Merges)
  }
}

func bytes(of path: String) throws -> [UInt8] {
  [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
}

extension SeededGenerator {
  /// Text in which the pattern's cases are dense: contractions, runs of several kinds of space,
  /// letters, digits and signs in several scripts, parts of special tokens, and bytes of no text.
  mutating func text(parts: Int, wellFormed: Bool) -> [UInt8] {
    let words = [
      "a", "I", "the", "it's", "we'll", "'", "''", "'s", "'ll", "1", "12", "3.5", "-", "!", "_",
      ",",
      " ", "  ", "\n", "\r\n", "\t", "\u{A0}", "\u{85}", "\u{3000}", "\u{2003}", "\u{2028}",
      "\u{1680}", "\u{205F}", "\u{180E}", "\u{200D}", "é", "e\u{301}", "ж", "猫", "。", "안", "٣",
      "👍🏽", "½", "<|endoftext|>", "<|end", "oftext|>", "<", "|", ">", "\0",
    ]
    let broken: [[UInt8]] = [[0x80], [0xC2], [0xE3, 0x80], [0xFF], [0xED, 0xA0, 0x80], [0xA0]]
    var text: [UInt8] = []
    for _ in 0..<parts {
      if !wellFormed, Int.random(in: 0..<8, using: &self) == 0 {
        text += broken[Int.random(in: 0..<broken.count, using: &self)]
      } else {
        text += Array(words[Int.random(in: 0..<words.count, using: &self)].utf8)
      }
    }
    return text
  }
}
