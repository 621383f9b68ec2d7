// `embed --text` and `demo`: what the windows hold, what the seed fixes, and which
// tokenizer serves.

import EmbedData
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct EmbedTextTests {
  private let folder: TemporaryFolder
  private let text: String
  private static let words = "The cat sat on the mat, and the mat was warm. "

  init() throws {
    folder = try TemporaryFolder()
    text = try folder.file("text.txt", Self.words)
  }

  /// A cache without a vocabulary.
  private var bare: [String: String?] { ["XDG_CACHE_HOME": folder.path("cache")] }

  private func embed(_ options: String) throws -> (shape: [Int], elements: [Float]) {
    let out = folder.path("out.npy")
    let result = try embedkernel(
      ["embed", "--text", text, "--tokenizer", "byte", "--output", out]
        + options.split(separator: " ").map(String.init))
    try #require(result.code == 0, "\(result.errors)")
    return try floats(out)
  }

  @Test func embedsTheFirstBatchByDefault() throws {
    let (shape, elements) = try embed("--seed 5")
    #expect(shape == [8, 4, 256])
    let layer = try InputEmbedding(
      vocabulary: 256, dim: 256, positions: .learned(maximum: 1024), seed: 5)
    var output = try layer.makeOutput(batch: 8, context: 4)
    let ids = Self.words.utf8.prefix(32).map { Int32($0) }
    try layer.forward(ids, batch: 8, context: 4, into: &output)
    #expect(elements == (0..<output.count).map { output[$0] })
  }

  @Test func theSeedFixesEveryBit() throws {
    let first = try embed("--seed 1 --dim 7")
    #expect(try embed("--seed 1 --dim 7 --threads 1 --backend simd").elements == first.elements)
    #expect(try embed("--seed 2 --dim 7").elements != first.elements)
  }

  @Test func windowsOverlapByTheStride() throws {
    let (shape, elements) = try embed(
      "--batch 3 --context 5 --stride 2 --dim 3 --positions none")
    #expect(shape == [3, 5, 3])
    // Token t of window w + 1 is token t + 2 of window w.
    for window in 0..<2 {
      #expect(
        elements[(window * 5 + 2) * 3..<(window + 1) * 15]
          == elements[(window + 1) * 15..<((window + 1) * 5 + 3) * 3])
    }
    #expect(
      try embed("--batch 3 --context 5 --stride 2 --dim 3").elements != elements,
      "positions make a difference")
  }

  @Test func batchesFollowOneAnotherUntilTheTextEnds() throws {
    let all = try embed("--batch 2 --context 4 --dim 3 --batches 1000000")
    // 46 bytes: 11 windows of 4 with one more to predict.
    #expect(all.shape == [11, 4, 3])
    let first = try embed("--batch 2 --context 4 --dim 3")
    #expect(first.shape == [2, 4, 3])
    #expect(all.elements.prefix(24) == first.elements[...])
  }

  @Test(arguments: [("", 0), ("abcd", 4)])
  func aTextTooShortForAWindowIsAnError(_ text: String, _ count: Int) throws {
    let path = try folder.file("short.txt", text)
    let result = try embedkernel(["embed", "--text", path, "--tokenizer", "byte"])
    #expect(result.code == 1)
    #expect(result.errors.contains("'\(path)' has \(count) tokens"))
  }

  @Test func aTableBeyondMemoryIsAnError() throws {
    let result = try embedkernel([
      "embed", "--text", text, "--tokenizer", "byte", "--dim", "100000000000000",
    ])
    #expect(result.code == 1)
    #expect(result.errors.contains("no memory for a buffer of 102400000000000000 bytes"))
  }

  @Test func theByteTokenizerServesWithoutAVocabularyAndSaysSo() throws {
    let out = folder.path("out.npy")
    let result = try embedkernel(["embed", "--text", text, "--output", out], environment: bare)
    #expect(result.code == 0)
    #expect(result.errors.contains("the byte tokenizer serves, with a vocabulary of 256"))
    #expect(try floats(out).shape == [8, 4, 256])

    let asked = try embedkernel(
      ["embed", "--text", text, "--tokenizer", "gpt2"], environment: bare)
    #expect(asked.code == 1)
    #expect(asked.errors.contains(folder.path("cache/embedkernel/gpt2/encoder.json")))
    #expect(asked.errors.contains("scripts/setup-data"))
  }
}
