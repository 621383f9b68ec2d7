// The README's examples: each Swift block of it stands here, line for line, so that it compiles and
// runs; where Swift is not optimised, filling GPT-2's table would take a minute, and it only compiles.

import EmbedData
import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct ReadmeTests {
  private struct Batch { let ids: [Int32] }

  /// Every line of every Swift block is in this file, in order.
  @Test func blocksAreThoseOfThisFile() throws {
    let file = URL(filePath: #filePath)
    let root = file.deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
    let source = try String(contentsOf: file, encoding: .utf8)
      .split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    let blocks = readme.components(separatedBy: "```swift\n").dropFirst()
    #expect(blocks.count >= 4)
    for block in blocks {
      let code = try #require(block.components(separatedBy: "```").first)
      var rest = source[...]
      for line in code.split(separator: "\n").map({ $0.trimmingCharacters(in: .whitespaces) })
      where line != "import EmbedKernel" {
        let found = rest.firstIndex(of: line)
        #expect(found != nil, "not in this file, or out of order: \(line)")
        if let found { rest = rest[(found + 1)...] }
      }
    }
  }

  #if DEBUG
    private static let isOptimised = false
  #else
    private static let isOptimised = true
  #endif

  @Test(.enabled(if: isOptimised)) func theLayerAndATrainingStep() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("model.safetensors")
    let batches = [Batch(ids: (0..<8 * 1_024).map { Int32($0 * 7 % 50_257) })]
    var embedded = 0
    func step(_ output: Span<Float>) { embedded += output.count }
    func modelBackward(_ output: Span<Float>) -> [Float] {
      [Float](repeating: 0.5, count: output.count)
    }
    let layer = try InputEmbedding(
      vocabulary: 50_257, dim: 768, positions: .learned(maximum: 1_024), seed: 42)
    var output = try layer.makeOutput(batch: 8, context: 1_024)  // [8, 1024, 768], reused each step
    for batch in batches {
      try layer.forward(batch.ids, batch: 8, context: 1_024, into: &output)
      step(output.span)
    }
    #expect(embedded == 8 * 1_024 * 768)

    let before = output.span[0]
    let rate = LearningRate.cosine(peak: 3e-4, warmup: 200, total: 5_000)
    let optimizer = try Optimizer(.adamW(learningRate: rate, untouched: .caughtUp), for: layer)
    for batch in batches {
      try optimizer.prepare(batch.ids.span, batch: 8, context: 1_024)
      try layer.forward(batch.ids, batch: 8, context: 1_024, into: &output)
      let outputGradient = modelBackward(output.span)  // [8, 1024, 768]
      try optimizer.step(outputGradient: outputGradient.span)
    }
    try optimizer.synchronise()
    try layer.save(to: path, names: .gpt2)  // safetensors, replaced whole or not at all
    #expect(try folder.contents == ["model.safetensors"])
    try layer.forward(batches[0].ids, batch: 8, context: 1_024, into: &output)
    #expect(output.span[0] < before)
  }

  @Test func relativePositions() throws {
    let configJSON = """
      {"model_type": "llama", "hidden_size": 768, "num_attention_heads": 12, "rope_theta": 5e5,
       "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}}
      """
    let vectors = 8 * 1_024 * 64
    var queryMemory = [Float](repeating: 1, count: vectors * 12)
    var keyMemory = [Float](repeating: 1, count: vectors * 4)
    var queries = queryMemory.mutableSpan
    var keys = keyMemory.mutableSpan
    let configuration = try RotaryConfiguration(json: configJSON)
    let rotary = try RotaryEmbedding(configuration)
    let shape = RotaryShape(batch: 8, heads: 12, context: 1_024, headDim: 64)
    try rotary.rotate(queries: &queries, keys: &keys, shape: shape, keyHeads: 4)
    #expect(queries[64] != 1)
    #expect(keys[64] == queries[64])
  }

  @Test func biases() throws {
    var memory = [Float](repeating: 0, count: 8 * 12 * 1_024 * 1_024)
    var logits = memory.mutableSpan
    let bias = try DistanceTable(ALiBi(heads: 12))
    let attention = AttentionShape(batch: 8, heads: 12, queries: 1_024, keys: 1_024)
    try Kernels.auto.addBias(bias, to: &logits, shape: attention, mask: .causal)
    #expect(logits[1_024] == Float(-ALiBi.slopes(heads: 12)[0]))
    #expect(logits[1] == -.infinity)
  }

  @Test func memoryOfYourOwn() throws {
    let ids = (0..<32).map { Int32($0 * 1_000) }
    let table = [Float](repeating: 2, count: 50_257 * 256)
    let positions = [Float](repeating: 0.5, count: 4 * 256)
    var memory = [Float](repeating: 0, count: 32 * 256)
    var output = memory.mutableSpan
    let shape = EmbeddingShape(vocabulary: 50_257, batch: 8, context: 4, dim: 256)
    try Kernels.auto.embed(
      ids: ids.span, tokens: table.span, positions: positions.span, shape: shape, into: &output)
    #expect(memory.allSatisfy { $0 == 2.5 })
  }

  @Test func textToBatches() throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    let textPath = tests.deletingLastPathComponent().appending(path: "README.md").path
    let vocabularyPath = tests.appending(path: "EmbedDataTests/Fixtures/small.tiktoken").path
    let layer = try InputEmbedding(vocabulary: 656, dim: 16, positions: .learned(maximum: 64))
    var output = try layer.makeOutput(batch: 8, context: 64)
    let tokenizer = try BytePairTokenizer(vocabulary: vocabularyPath)
    let ids = try tokenizer.encode(file: textPath)
    let loader = try WindowLoader(tokens: ids, context: 64, batchSize: 8, order: .shuffled(seed: 1))
    for index in 0..<loader.batchCount {
      let batch = try loader.batch(index)  // inputs and targets, each [8, 64]
      try layer.forward(batch.inputs, batch: batch.rows, context: batch.context, into: &output)
    }
    #expect(loader.batchCount == (ids.count - 1) / 64 / 8)
    #expect(loader.batchCount > 10)
    #expect(output.span[0] != 0)
  }
}
