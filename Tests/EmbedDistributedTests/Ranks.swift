// Ranks as threads of the test's process, and a run of training steps on them and without them.

import EmbedDistributed
import EmbedKernel
import Foundation
import TestSupport
import Testing

/// What `body` gives or throws on each of `ranks` ranks.
func onRanks<Value: Sendable>(
  _ ranks: Int, timeOut: Double = 120, _ body: @escaping @Sendable (Communicator) throws -> Value
) throws -> [Result<Value, any Error>] {
  let communicators = try Communicator.threads(ranks: ranks, timeOut: timeOut)
  return onThreads(ranks) { try body(communicators[$0]) }
}

/// The same where none may throw.
func values<Value: Sendable>(
  _ ranks: Int, _ body: @escaping @Sendable (Communicator) throws -> Value
) throws -> [Value] {
  try onRanks(ranks, body).map { try $0.get() }
}

func bits(_ floats: Span<Float>) -> [UInt32] { floats.indices.map { floats[$0].bitPattern } }

/// The whole table.
func bits(_ table: ShardedTable) throws -> [UInt32] {
  let whole = try table.gathered()
  return bits(whole.span)
}

/// A run: sizes, how tables are divided, how they step.
struct Run: Sendable, CustomStringConvertible {
  var vocabulary = 97
  var dim = 19
  var batch = 7
  var context = 13
  var sharding = Sharding.contiguousRows
  var positions = AbsolutePositions.learned(maximum: 13)
  var padding: Int? = 3
  var unknownIDs = UnknownIDs.error
  var rule = "sgd"
  var untouched: UntouchedRows?
  var summation = Summation.chunked
  var frequencyScaling = FrequencyScaling.none
  var steps = 3
  var seed: UInt64 = 1

  var description: String {
    "\(vocabulary)x\(dim), \(batch)x\(context), \(sharding), \(rule) \(untouched?.rawValue ?? ""), "
      + "\(unknownIDs), \(summation), \(frequencyScaling), seed \(seed)"
  }

  func updateRule() throws -> UpdateRule {
    try UpdateRule.named(
      rule, learningRate: .cosine(peak: 0.05, warmup: 2, total: 20), untouched: untouched)
  }

  /// The ids and output gradients of a step's global batch: some ids often, as a heavy row needs, and some
  /// outside where those are allowed.
  func step(_ step: Int) -> (ids: [Int32], gradient: [Float]) {
    var random = SeededGenerator(seed: seed &* 1_000 &+ UInt64(step))
    let ids = (0..<batch * context).map { _ -> Int32 in
      if unknownIDs != .error, Int.random(in: 0..<9, using: &random) == 0 {
        return Bool.random(using: &random) ? -5 : Int32(vocabulary + 2)
      }
      let few = Int.random(in: 0..<3, using: &random) > 0
      return Int32.random(in: 0..<Int32(few ? min(5, vocabulary) : vocabulary), using: &random)
    }
    return (ids, random.floats(batch * context * dim))
  }

  var stepScale: Float { 0.75 }

  func layer() throws -> InputEmbedding {
    try InputEmbedding(
      vocabulary: vocabulary, dim: dim, positions: positions, scale: .sqrtDim, paddingID: padding,
      unknownIDs: unknownIDs, seed: seed)
  }

  func sharded(_ communicator: Communicator) throws -> ShardedEmbedding {
    try ShardedEmbedding(
      vocabulary: vocabulary, dim: dim, sharding: sharding, positions: positions, scale: .sqrtDim,
      paddingID: padding, unknownIDs: unknownIDs, seed: seed, over: communicator)
  }

  /// The batch rows of a rank.
  func rows(_ communicator: Communicator) -> Range<Int> {
    let start = { (rank: Int) in rank * batch / communicator.size }
    return start(communicator.rank)..<start(communicator.rank + 1)
  }
}

/// Everything that a run computed, as bits: outputs step after step, gradients by table row, and the tables.
struct Outcome: Sendable, Equatable {
  var outputs: [[UInt32]] = []
  var tokenGradients: [[Int: [UInt32]]] = []
  var positionGradients: [[Int: [UInt32]]] = []
  var tokens: [UInt32] = []
  var positions: [UInt32] = []
}

extension Run {
  /// Without ranks.
  func alone() throws -> Outcome {
    let layer = try layer()
    let optimizer = try Optimizer(updateRule(), for: layer)
    var gradient = try layer.makeGradient()
    var output = try layer.makeOutput(batch: batch, context: context)
    var outcome = Outcome()
    for step in 0..<steps {
      let (ids, outputGradient) = self.step(step)
      try layer.forward(ids, batch: batch, context: context, into: &output)
      outcome.outputs.append(bits(output.span))
      try layer.backward(
        outputGradient, ids: ids, batch: batch, context: context, into: &gradient,
        gradientScale: 0.5, frequencyScaling: frequencyScaling, summation: summation)
      outcome.tokenGradients.append(rows(gradient.tokens) { $0 })
      outcome.positionGradients.append(rows(gradient.positions) { $0 })
      try optimizer.step(gradient, scale: stepScale)
    }
    let table = layer.tokens.table
    outcome.tokens = bits(table.span)
    outcome.positions = layer.positions.map { bits($0.span) } ?? []
    return outcome
  }

  /// One rank's part, the tables whole.
  func part(
    _ communicator: Communicator, order: GradientOrder = .tokens
  ) throws -> Outcome {
    let layer = try sharded(communicator)
    let optimizer = try ShardedOptimizer(updateRule(), for: layer)
    var gradient = try layer.makeGradient()
    let rows = rows(communicator)
    var output = try layer.makeOutput(batch: rows.count, context: context)
    var outcome = Outcome()
    for step in 0..<steps {
      let (allIDs, allGradients) = self.step(step)
      let ids = Array(allIDs[rows.lowerBound * context..<rows.upperBound * context])
      let width = context * dim
      let outputGradient = Array(allGradients[rows.lowerBound * width..<rows.upperBound * width])
      try layer.forward(ids, batch: rows.count, context: context, into: &output)
      outcome.outputs.append(bits(output.span))
      try layer.backward(
        outputGradient, ids: ids, batch: rows.count, context: context, into: &gradient,
        gradientScale: 0.5, frequencyScaling: frequencyScaling, summation: summation, order: order)
      outcome.tokenGradients.append(self.rows(gradient.tokens) { layer.tokens.row($0) })
      outcome.positionGradients.append(
        self.rows(gradient.positions) { layer.positions?.row($0) ?? $0 })
      try optimizer.step(gradient, scale: stepScale)
    }
    outcome.tokens = try bits(layer.tokens)
    if let positions = layer.positions {
      outcome.positions = try bits(positions)
    } else {
      outcome.positions = layer.fixedPositions.map { bits($0.span) } ?? []
    }
    return outcome
  }

  private func rows(
    _ gradient: borrowing RowSparseGradient, _ row: (Int) -> Int
  ) -> [Int: [UInt32]] {
    var rows: [Int: [UInt32]] = [:]
    let (ids, values) = (gradient.rowIDs, gradient.values)
    for i in ids.indices {
      rows[row(Int(ids[i]))] = bits(values.extracting(i * gradient.dim..<(i + 1) * gradient.dim))
    }
    return rows
  }

  /// The ranks' parts as one: outputs one after another, gradients' rows together, by columns side by side.
  func joined(_ parts: [Outcome]) -> Outcome {
    var whole = Outcome()
    whole.tokens = parts[0].tokens
    whole.positions = parts[0].positions
    for step in 0..<steps {
      whole.outputs.append(parts.flatMap { $0.outputs[step] })
      whole.tokenGradients.append(join(parts.map { $0.tokenGradients[step] }))
      whole.positionGradients.append(join(parts.map { $0.positionGradients[step] }))
    }
    return whole
  }

  private func join(_ parts: [[Int: [UInt32]]]) -> [Int: [UInt32]] {
    parts.reduce(into: [:]) { whole, part in
      whole.merge(part) { sharding == .columns ? $0 + $1 : [] }
    }
  }
}
