// A run whose tables are resized on the way: rows that were there go on as if nothing had happened.

import EmbedKernel
import EmbedResizing
import TestSupport
import Testing

@Suite struct OptimizerResizeTests {
  struct Case: Sendable, CustomStringConvertible {
    let name: String
    let untouched: UntouchedRows
    var description: String { "\(name), \(untouched.rawValue)" }

    static let all = UpdateRule.names.flatMap { name in
      UntouchedRows.allCases.filter { name == "adamw" || $0 != .caughtUp }.map {
        Case(name: name, untouched: $0)
      }
    }
  }

  private let dim = 21
  private let batch = 2
  private let context = 5

  private func run(
    _ optimizer: Optimizer, _ steps: Int, _ random: inout SeededGenerator
  ) throws {
    let layer = optimizer.layer
    var output = try layer.makeOutput(batch: batch, context: context)
    for _ in 0..<steps {
      let ids = (0..<batch * context).map { _ in Int32.random(in: 0..<30, using: &random) }
      let gradient = random.floats(output.count)
      var span = output.mutableSpan
      try optimizer.forward(ids.span, batch: batch, context: context, into: &span)
      try optimizer.step(outputGradient: gradient.span)
    }
  }

  private func state(_ optimizer: TableOptimizer) -> [String: [Float]] {
    var state: [String: [Float]] = [:]
    optimizer.forEachStateArray { array, bytes in
      guard array.element == .float32 else { return }
      state[array.name] = unsafe bytes.withUnsafeBytes {
        unsafe Array($0.assumingMemoryBound(to: Float.self))
      }
    }
    return state
  }

  @Test(arguments: Case.all)
  func oldRowsGoOnBitForBitAndNewOnesOweNothing(_ c: Case) throws {
    let rule = try UpdateRule.named(
      c.name, learningRate: .cosine(peak: 0.01, warmup: 5, total: 60),
      numbers: UpdateNumbers(weightDecay: 0.1),
      untouched: c.untouched)
    let layer = try InputEmbedding(
      vocabulary: 30, dim: dim, positions: .learned(maximum: 8), paddingID: 2, seed: 5)
    let optimizer = try Optimizer(rule, for: layer)
    var random = SeededGenerator(seed: 6)
    try run(optimizer, 20, &random)
    try optimizer.synchronise()

    let tokens = try layer.tokens.resized(vocabulary: 44, newRows: .mean)
    let old = try #require(layer.positions)
    let positions = try EmbeddingTable<Float>(rows: 8, dim: dim, copying: old.span)
    let grown = try InputEmbedding(tokens: tokens, positions: positions)
    let resized = try optimizer.resized(for: grown)
    #expect(resized.stepCount == 20)
    let fresh = elements(tokens.table)[30 * dim..<44 * dim]

    // Nothing is owed for the steps before.
    try resized.synchronise()
    #expect(Array(elements(tokens.table)[30 * dim..<44 * dim]) == Array(fresh))

    var (left, right) = (random, random)
    try run(optimizer, 10, &left)
    try run(resized, 10, &right)
    try optimizer.synchronise()
    try resized.synchronise()
    let after = elements(tokens.table)
    expectSameBits(Array(after[..<(30 * dim)]), elements(layer.tokens.table), "\(c), tokens")
    expectSameBits(elements(positions), elements(try #require(layer.positions)), "\(c), positions")
    let moved = Array(after[(30 * dim)...]) != Array(fresh)
    #expect(moved == (c.untouched != .left), "\(c): decay of new rows")
  }

  @Test(arguments: Case.all)
  func statesOfStretchedPositionsAreOnTheLine(_ c: Case) throws {
    let rule = try UpdateRule.named(
      c.name, learningRate: .constant(0.01), untouched: c.untouched)
    let layer = try InputEmbedding(
      vocabulary: 30, dim: dim, positions: .learned(maximum: 5), seed: 5)
    let optimizer = try Optimizer(rule, for: layer)
    var random = SeededGenerator(seed: 6)
    try run(optimizer, 7, &random)
    let old = try #require(optimizer.positions)
    try old.synchronise()
    let stretched = try old.resized(
      for: try #require(layer.positions).interpolated(rows: 9), as: .positions)
    let (before, after) = (state(old), state(stretched))
    #expect(Set(before.keys) == Set(after.keys))
    for (name, values) in before {
      let width = values.count / 5
      let expected = try OptimizerState.resized(values.span, rows: 5, to: 9, as: .positions)
      #expect(after[name] == expected.elements, "\(c), \(name)")
      #expect(after[name]?.first == values.first && after[name]?.count == 9 * width)
    }
  }

  @Test func trainableRowsTakeTheirStateAlong() throws {
    let table = try EmbeddingTable<Float>(rows: 10, dim: 3, .normal(sigma: 1), seed: 1)
    let rule = try UpdateRule.adagrad(learningRate: .constant(0.1), initialSum: 0.25)
    let optimizer = try TableOptimizer(rule, for: table, trainable: .rows([4, 8]))
    try optimizer.step(dense: [Float](repeating: 1, count: 30).span)
    let layer = try TokenEmbedding(table: table).resized(vocabulary: 12, newRows: .mean)
    let resized = try optimizer.resized(
      for: layer.table, as: .vocabulary, trainable: .rows([8, 9, 11]))
    #expect(state(resized)["sum"] == [1.25, 1.25, 1.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25])
    #expect(throws: EmbedError.self) {
      try optimizer.resized(for: EmbeddingTable<Float>(rows: 10, dim: 4), as: .vocabulary)
    }
    #expect(throws: EmbedError.self) {
      try optimizer.resized(for: EmbeddingTable<Float>(rows: 12, dim: 3), as: .positions)
    }
  }
}
