// The README's examples, and the guide's first steps: each Swift block of them stands here, line for line,
// so that it compiles and runs; where Swift is not optimised, filling GPT-2's table would take a minute, and it only compiles.

import EmbedData
import EmbedKernel
import EmbedModels
import Foundation
import TestSupport
import Testing

@Suite struct ReadmeTests {
  private struct Batch { let ids: [Int32] }

  /// Every line of every Swift block is in this file, in order.
  @Test(arguments: ["README.md", "Sources/Documentation/Guide.docc/StartWithSwift.md"])
  func blocksAreThoseOfThisFile(_ path: String) throws {
    let file = URL(filePath: #filePath)
    let root = file.deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let readme = try String(contentsOf: root.appending(path: path), encoding: .utf8)
    let source = try String(contentsOf: file, encoding: .utf8)
      .split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    let blocks = readme.components(separatedBy: "```swift\n").dropFirst()
    #expect(blocks.count >= 3)
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
    let batch = batches[0]
    func modelBackward(_ output: Span<Float>) -> [Float] {
      [Float](repeating: 0.5, count: output.count)
    }
    let ids: [Int32] = batch.ids  // [8, 1024]; Int32, Int64 or Int
    let layer = try InputEmbedding(
      vocabulary: 50_257, dim: 768, positions: .learned(maximum: 1_024), seed: 42)
    var output: AlignedBuffer<Float> = try layer.makeOutput(batch: 8, context: 1_024)  // kept
    try layer.forward(ids, batch: 8, context: 1_024, into: &output)  // [8, 1024, 768]
    #expect(output.span[0] == layer.tokens.table[0, 0] + (layer.positions.map { $0[0][0] } ?? 0))

    let before = output.span[0]
    let rate = LearningRate.cosine(peak: 3e-4, warmup: 200, total: 5_000)
    let optimizer = try Optimizer(.adamW(learningRate: rate, untouched: .caughtUp), for: layer)
    for batch in batches {
      try optimizer.forward(batch.ids, batch: 8, context: 1_024, into: &output)
      let outputGradient: [Float] = modelBackward(output.span)  // [8, 1024, 768]
      try optimizer.step(outputGradient: outputGradient)
    }
    try layer.save(to: path, names: .gpt2)  // safetensors, replaced whole or not at all
    #expect(try folder.contents == ["model.safetensors"])
    try layer.forward(ids, batch: 8, context: 1_024, into: &output)
    #expect(output.span[0] < before)

    let outputGradient = modelBackward(output.span)
    let modelGradient: [Float] = [3, 4]
    var gradient: InputGradient = try layer.makeGradient()
    try layer.backward(outputGradient, ids: ids, batch: 8, context: 1_024, into: &gradient)
    var norm = GradientNorm()
    norm.add(gradient.tokens)
    norm.add(gradient.positions)
    norm.add(modelGradient)  // [Float]
    try optimizer.step(gradient, scale: norm.clipFactor(maximum: 1))
    #expect(optimizer.stepCount == 2)
  }

  @Test func relativePositions() throws {
    let configJSON = """
      {"model_type": "llama", "hidden_size": 768, "num_attention_heads": 12, "rope_theta": 5e5,
       "rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e5}}
      """
    let configuration = try RotaryConfiguration(json: configJSON)  // String
    let rotary = try RotaryEmbedding(configuration)
    var queries = [Float](repeating: 1, count: 8 * 12 * 1_024 * 64)  // [8, 12, 1024, 64]
    var keys = [Float](repeating: 1, count: 8 * 4 * 1_024 * 64)  // [8, 4, 1024, 64]
    let shape = RotaryShape(batch: 8, heads: 12, context: 1_024, headDim: 64)
    try rotary.rotate(queries: &queries, keys: &keys, shape: shape, keyHeads: 4)
    #expect(queries[64] != 1)
    #expect(keys[64] == queries[64])

    var logits = [Float](repeating: 0, count: 8 * 12 * 1_024 * 1_024)  // [8, 12, 1024, 1024]
    let bias = try DistanceTable(ALiBi(heads: 12))
    let attention = AttentionShape(batch: 8, heads: 12, queries: 1_024, keys: 1_024)
    try Kernels.auto.addBias(bias, to: &logits, shape: attention, mask: .causal)
    #expect(logits[1_024] == Float(-ALiBi.slopes(heads: 12)[0]))
    #expect(logits[1] == -.infinity)
  }

  @Test func memoryOfYourOwn() throws {
    let ids = (0..<32).map { Int32($0 * 1_000) }
    let table = [Float](repeating: 2, count: 50_257 * 256)  // [50257, 256]; Float, BFloat16 or Half
    let positions = [Float](repeating: 0.5, count: 4 * 256)  // [4, 256]
    var rows = [Float](repeating: 0, count: 8 * 4 * 256)  // [8, 4, 256]
    let sizes = EmbeddingShape(vocabulary: 50_257, batch: 8, context: 4, dim: 256)
    try Kernels.auto.embed(ids: ids, tokens: table, positions: positions, shape: sizes, into: &rows)
    #expect(rows.allSatisfy { $0 == 2.5 })
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
