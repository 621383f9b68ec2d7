// The three loops learn what there is to learn, alike; and the article shows them as they stand here.

import EmbedKernel
import Foundation
import Testing

@Suite struct LoopTests {
  private let task = PairTask()

  @Test func allThreeLearnTheTaskAndGiveTheSameLosses() throws {
    let spans = try trainSpans(task, steps: 200, rate: 1)
    let layers = try trainLayers(task, steps: 200, rate: 1)
    let derived = try trainDifferentiably(task, steps: 200, rate: 1)
    // Before any step, all tokens are about equally likely.
    #expect(abs(spans[0] - log(Double(task.vocabulary))) < 0.5)
    for losses in [spans, layers, derived] {
      #expect(losses.count == 200)
      #expect(losses.suffix(8).allSatisfy { $0 < 0.1 }, "\(losses.suffix(8))")
    }
    for step in 0..<200 {
      #expect(abs(spans[step] - layers[step]) < 1e-5, "step \(step)")
      #expect(abs(layers[step] - derived[step]) < 1e-5, "step \(step)")
    }
  }

  @Test func withoutPositionsNoLossIsBelowThatOfACoin() throws {
    let (tokens, _, output) = try task.makeTables()
    let losses = try trainLayers(
      InputEmbedding(tokens: TokenEmbedding(table: tokens), positions: nil),
      TiedProjection(TokenEmbedding(table: output)), task, steps: 200, rate: 1)
    // A period of 8 batches holds each pair at each place equally often.
    let mean = losses.suffix(8).reduce(0, +) / 8
    #expect(mean > log(2) - 0.05 && mean < log(2) + 0.1, "\(mean)")
  }

  @Test func clippingHoldsTheNormAndNothingElse() throws {
    func losses(maximum: Double) throws -> [Double] {
      let (tokens, positions, output) = try task.makeTables()
      return try trainClipped(
        InputEmbedding(tokens: TokenEmbedding(table: tokens), positions: positions),
        TiedProjection(TokenEmbedding(table: output)), task, steps: 50, rate: 1, maximum: maximum)
    }
    let (free, unclipped) = try (trainLayers(task, steps: 50, rate: 1), losses(maximum: 1e6))
    for step in 0..<50 { #expect(abs(free[step] - unclipped[step]) < 1e-5, "step \(step)") }
    let clipped = try losses(maximum: 0.01)
    #expect(clipped[0] == unclipped[0])
    // 49 steps of norm 0.01 at most change little where free ones learn much.
    #expect(clipped[49] > free[49] + 0.1 && clipped[49] < clipped[0], "\(clipped[49])")
  }

  @Test func thePackagesModelLearnsItToo() throws {
    for losses in [
      try trainGPT(task, steps: 200, rate: 1e-2),
      try trainWithTrainer(task, steps: 200, rate: 1e-2),
    ] {
      #expect(abs(losses[0] - log(Double(task.vocabulary))) < 0.5)
      #expect(losses.suffix(8).allSatisfy { $0 < 0.1 }, "\(losses.suffix(8))")
    }
  }

  @Test func aTextIsLearntFromAFileOfItsTokens() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "embedkernel-\(UUID())")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    let text = folder.appending(path: "text.txt").path
    try String(repeating: "The cat sat on the mat, and the mat was warm.\n", count: 60).write(
      toFile: text, atomically: true, encoding: .utf8)
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let (losses, sample) = try trainOnText(
      text, vocabulary: tests.appending(path: "EmbedDataTests/Fixtures/small.tiktoken").path,
      tokens: folder.appending(path: "text.bin").path, steps: 100)
    #expect(abs(losses[0] - log(656)) < 0.5)
    #expect(losses.suffix(8).allSatisfy { $0 < 1 }, "\(losses.suffix(8))")
    #expect(!sample.isEmpty)
  }

  @Test func theArticleShowsTheseFiles() throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent()
    let root = folder.deletingLastPathComponent().deletingLastPathComponent()
    let article = try String(
      contentsOf: root.appending(
        path: "Sources/EmbedTraining/EmbedTraining.docc/TrainingLoops.md"), encoding: .utf8)
    let sources = try FileManager.default.contentsOfDirectory(
      at: folder, includingPropertiesForKeys: nil
    ).filter { $0.pathExtension == "swift" }
      .map { unindented(try String(contentsOf: $0, encoding: .utf8)) }
    let blocks = article.components(separatedBy: "```swift\n").dropFirst()
      .compactMap { $0.components(separatedBy: "```").first }
    #expect(blocks.count >= 5)
    for block in blocks {
      #expect(sources.contains { $0.contains(unindented(block)) }, "not in these files: \(block)")
    }
  }

  private func unindented(_ text: String) -> String {
    text.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
      .joined(separator: "\n")
  }
}
