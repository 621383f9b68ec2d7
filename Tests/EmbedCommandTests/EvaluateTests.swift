// `evaluate` and `sample` on models that are made here: losses are those of the library, lengths past a
// table are refused, and samples follow from their seed.

import EmbedKernel
import EmbedResizing
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct EvaluateTests {
  private let folder: TemporaryFolder
  private let text: String

  init() throws {
    folder = try TemporaryFolder()
    text = try folder.file("text.txt", TrainTests.words)
  }

  private func model(_ scheme: PositionScheme, vocabulary: Int = 256) throws -> (GPT, String) {
    let model = try GPT(
      GPTConfiguration(
        vocabulary: vocabulary, context: 8, dim: 8, heads: 2, layers: 1, positions: scheme),
      seed: 5)
    let path = folder.path("\(scheme.rawValue).safetensors")
    try model.save(to: path)
    return (model, path)
  }

  private func rows(_ path: String) throws -> [[Double]] {
    let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
    #expect(lines.first == "length,position,loss,count")
    return lines.dropFirst().map { $0.split(separator: ",").compactMap { Double($0) } }
  }

  @Test(arguments: PositionScheme.allCases)
  func lossesAreTheLibrarys(_ scheme: PositionScheme) throws {
    let (model, path) = try model(scheme)
    let out = folder.path("out.csv")
    let stretch = scheme == .learned ? ["--interpolate", "cubic"] : []
    // Out of order and twice: each length once, rising.
    let result = try embedkernel(
      ["evaluate", path, "--text", text, "--lengths", "24,8,8", "--limit", "100"]
        + ["--validation-share", "0.25", "--output", out] + stretch)
    try #require(result.code == 0, "\(result.errors)")
    let tokens = TrainTests.words.utf8.map { Int32($0) }
    let held = Array(tokens.suffix(Int((Double(tokens.count) * 0.25).rounded())))
    let found = try rows(out)
    #expect(
      found.map { Int($0[0]) } == Array(repeating: 8, count: 8) + Array(repeating: 24, count: 24))
    #expect(found.map { Int($0[1]) } == Array(0..<8) + Array(0..<24))
    #expect(
      found.map { Int($0[3]) } == Array(repeating: 12, count: 8) + Array(repeating: 4, count: 24))
    for length in [8, 24] {
      try model.extend(to: length, interpolation: scheme == .learned ? .cubic : nil)
      let expected = try model.evaluate(held, context: length, batch: 3, limit: 100)
      let losses = found.filter { $0[0] == Double(length) }.map { $0[2] }
      for (loss, position) in zip(losses, expected.positionLosses) {
        #expect(abs(loss - position) < 1e-5)
      }
      #expect(result.output.contains("\(length)"))
    }
  }

  @Test func aLearnedTableThatIsTooShortIsRefused() throws {
    let (_, path) = try model(.learned)
    let result = try embedkernel(["evaluate", path, "--text", text, "--lengths", "8,16"])
    #expect(result.code == 1)
    #expect(
      result.errors.contains(
        "length 16 is past the learned position table, which was trained to 8; --interpolate linear"
      ))
  }

  @Test func faultsAreNamed() throws {
    let (_, path) = try model(.rope)
    func refused(_ words: [String], _ message: String) throws {
      let result = try embedkernel(words)
      #expect(result.code == 1)
      #expect(result.errors.contains(message), "\(result.errors)")
    }
    try refused(["evaluate", folder.path("absent")], "No such file")
    try refused(["sample", folder.path("")], "holds neither checkpoint.safetensors nor model")
    try refused(
      ["evaluate", path, "--text", text, "--lengths", "4096"], "a sequence of 4096 needs 4,097")
    let (_, other) = try model(.none, vocabulary: 300)
    try refused(
      ["sample", other, "--tokenizer", "byte"],
      "has a vocabulary of 300, but the tokenizer is byte, vocabulary of 256")
    try refused(["evaluate", try folder.file("empty.safetensors", "")], "empty.safetensors")
  }

  @Test func samplesFollowFromTheirSeed() throws {
    let (_, path) = try model(.alibi)
    func sample(_ words: String) throws -> String {
      let result = try embedkernel(
        ["sample", path, "--prompt", "The cat"] + words.split(separator: " ").map(String.init))
      try #require(result.code == 0, "\(result.errors)")
      #expect(result.output.hasPrefix("The cat"))
      return result.output
    }
    let first = try sample("--tokens 20 --seed 1")
    #expect(try sample("--tokens 20 --seed 1 --threads 1") == first)
    #expect(try sample("--tokens 20 --seed 2") != first)
    #expect(try sample("--tokens 0") == "The cat\n")
    // One token to draw from is the most likely one.
    #expect(try sample("--tokens 9 --top-k 1 --seed 3") == sample("--tokens 9 --temperature 0"))
    // No control character reaches the terminal but line ends and tabs.
    #expect(first.unicodeScalars.allSatisfy { $0.value >= 32 || $0 == "\n" || $0 == "\t" })
  }
}
