// The scenes: what is documented as safe from any number of threads.

import EmbedData
import EmbedKernel
import EmbedSchemes
import EmbedModels
import EmbedTraining

let scenes: [Scene] = [
  Scene("the first use of the default kernels", firstUse),
  Scene("calls that share the pool of threads", sharedPool),
  Scene("a rotary table that grows", growingRotary),
  Scene("a dynamic scale past its trained length", dynamicRotary),
  Scene("a table of distances that grows", growingBias),
  Scene("learned rotary angles", learnedRotary),
  Scene("two models that train", models),
  Scene("one tokenizer", tokenizer),
]

private func ids(_ count: Int, _ seed: UInt64, below bound: Int) -> [Int32] {
  (0..<count).map { Int32(($0 &* 7_919 &+ Int(seed) &* 31) % bound) }
}

/// Environment, instruction set and tuning are looked at by the first call.
@Sendable private func firstUse(_ seed: UInt64) throws {
  try atOnce { _ in
    let layer = try InputEmbedding(
      vocabulary: 50, dim: 16, positions: .learned(maximum: 8), seed: 1)
    var output = try layer.makeOutput(batch: 2, context: 8)
    try layer.forward(ids(16, seed, below: 50), batch: 2, context: 8, into: &output)
  }
}

/// Forward and backward passes large enough to be split, from all threads into one pool.
@Sendable private func sharedPool(_ seed: UInt64) throws {
  let layer = try InputEmbedding(
    vocabulary: 300, dim: 64, positions: .learned(maximum: 128), seed: seed)
  let tokens = ids(4 * 128, seed, below: 300)
  let output = { @Sendable (threads: Int) throws -> [Float] in
    var output = try layer.makeOutput(batch: 4, context: 128)
    try layer.forward(
      tokens, batch: 4, context: 128, into: &output, using: .native.threads(threads))
    let gradient = try layer.backward(output.span, ids: tokens.span, batch: 4, context: 128)
    let sums = gradient.tokens.values
    return output.span.indices.map { output.span[$0] } + sums.indices.map { sums[$0] }
  }
  let alone = try output(1)
  try atOnce { _ in for _ in 0..<20 { try expect(output(4), alone, "the output") } }
}

/// Each thread rotates sequences of another length; all but the first make the table grow.
@Sendable private func growingRotary(_ seed: UInt64) throws {
  let shared = try RotaryEmbedding(headDim: 32)
  try atOnce { thread in
    for step in 1...6 {
      let context = 40 * (step + thread)
      try expect(
        rotated(shared, context, seed), rotated(RotaryEmbedding(headDim: 32), context, seed),
        "the rotation")
    }
  }
}

/// The angles depend on the length once it is past the trained one.
@Sendable private func dynamicRotary(_ seed: UInt64) throws {
  let json = """
    {"head_dim": 8, "max_position_embeddings": 4, "rope_parameters":
     {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}}
    """
  let shared = try RotaryEmbedding(RotaryConfiguration(json: json))
  try atOnce { thread in
    for context in 3 + thread..<12 + thread {
      let alone = try RotaryEmbedding(RotaryConfiguration(json: json))
      try expect(rotated(shared, context, seed), rotated(alone, context, seed), "the rotation")
    }
  }
}

private func rotated(_ rotary: RotaryEmbedding, _ context: Int, _ seed: UInt64) throws -> [Float] {
  let shape = RotaryShape(batch: 1, heads: 2, context: context, headDim: rotary.headDim)
  var vectors = (0..<2 * context * rotary.headDim).map { Float(($0 &+ Int(seed)) % 13) - 6 }
  var span = vectors.mutableSpan
  try rotary.rotate(inPlace: &span, shape: shape)
  return vectors
}

/// Biases by distance, from tables that are built as far as a call reaches.
@Sendable private func growingBias(_ seed: UInt64) throws {
  let shared = try DistanceTable(ALiBi(heads: 3))
  let biased = { @Sendable (table: DistanceTable, size: Int) throws -> [Float] in
    var logits = [Float](repeating: Float(seed), count: 3 * size * size)
    var span = logits.mutableSpan
    let shape = AttentionShape(batch: 1, heads: 3, queries: size, keys: size)
    try Kernels.auto.addBias(table, to: &span, shape: shape, mask: .causal)
    return logits
  }
  try atOnce { thread in
    for step in 1...5 {
      let size = 16 * (step + thread)
      try expect(
        biased(shared, size), biased(DistanceTable(ALiBi(heads: 3)), size), "the bias")
    }
  }
}

/// Readers of angles that nobody changes meanwhile.
@Sendable private func learnedRotary(_ seed: UInt64) throws {
  let learned = try LearnedRotary(RotaryEmbedding(headDim: 16))
  let alone = try rotated(learned.embedding, 50, seed)
  try atOnce { _ in
    for _ in 0..<10 { try expect(rotated(learned.embedding, 50, seed), alone, "the rotation") }
  }
}

/// Models of unlike sizes, each with its own data: the losses of their steps.
@Sendable private func models(_ seed: UInt64) throws {
  let losses = { @Sendable (thread: Int) throws -> [Double] in
    let configuration = GPTConfiguration(
      vocabulary: 97, context: 16, dim: thread.isMultiple(of: 2) ? 32 : 96, heads: 4, layers: 1,
      positions: PositionScheme.allCases[thread], direction: .causal, head: .tied)
    let trainer = try Trainer(
      GPT(configuration, seed: seed), TrainingOptions(batch: 4, steps: 100), threads: 2)
    let data = try TrainingData(tokens: ids(2_000, seed, below: 97), context: 16)
    return try (0..<4).map { _ in Double(try trainer.step(data).loss) }
  }
  let alone = try (0..<RaceProbe.threads).map(losses)
  try atOnce { thread in try expect(losses(thread), alone[thread], "the losses of model \(thread)")
  }
}

/// Encoding and decoding share one vocabulary.
@Sendable private func tokenizer(_ seed: UInt64) throws {
  let tokenizer = ByteTokenizer()
  let text = (0..<2_000).map { UInt8(($0 &+ Int(seed)) % 251) }
  let alone = try tokenizer.encode(bytes: text)
  try atOnce { _ in try expect(tokenizer.encode(bytes: text), alone, "the tokens") }
}
