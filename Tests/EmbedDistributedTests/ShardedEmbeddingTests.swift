// Sharded against unsharded: the same bits, for outputs, gradients and tables after steps.

import EmbedDistributed
import EmbedKernel
import TestSupport
import Testing

@Suite struct ShardedEmbeddingTests {
  static let shardings: [Sharding] = [
    .contiguousRows, .hashedRows(seed: 7), .columns, .rowBlocks(of: 5),
  ]

  private func check(_ run: Run, ranks: Int) throws {
    let expected = try run.alone()
    let parts = try values(ranks) { try run.part($0) }
    let whole = run.joined(parts)
    #expect(whole.outputs == expected.outputs, "outputs of \(run) on \(ranks)")
    #expect(
      whole.tokenGradients == expected.tokenGradients, "token gradients of \(run) on \(ranks)")
    #expect(
      whole.positionGradients == expected.positionGradients,
      "position gradients of \(run) on \(ranks)")
    for part in parts {
      #expect(part.tokens == expected.tokens, "token table of \(run) on \(ranks)")
      #expect(part.positions == expected.positions, "position table of \(run) on \(ranks)")
    }
  }

  @Test(arguments: [1, 2, 3, 4, 7], shardings)
  func anyNumberOfRanksGivesTheSameBits(ranks: Int, sharding: Sharding) throws {
    try check(Run(sharding: sharding), ranks: ranks)
  }

  static let rules: [Run] = UpdateRule.names.flatMap { name in
    UntouchedRows.allCases.filter { name == "adamw" || $0 != .caughtUp }.map {
      Run(rule: name, untouched: $0, steps: 6, seed: 11)
    }
  }

  @Test(arguments: rules, shardings)
  func everyOptimizerStepsToTheSameBits(run: Run, sharding: Sharding) throws {
    var run = run
    run.sharding = sharding
    if sharding == .columns, ["lamb", "row-wise-adagrad"].contains(run.rule) {
      let refused = run
      for result in try onRanks(2, { try refused.part($0) }) {
        #expect {
          try result.get()
        } throws: {
          guard case .invalid(.unsupported(let argument, let value, _))? = $0 as? DistributedError
          else { return false }
          return argument == "update rule" && value == refused.rule
        }
      }
      return
    }
    try check(run, ranks: 3)
  }

  /// Of these two, ids outside the table are of no row, beside rows that wait to be brought up to date.
  static let seeds: [UInt64] = [18, 333] + (0..<24).inDebug(every: 4)

  @Test(arguments: seeds)
  func randomShapes(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let context = Int.random(in: 1...40, using: &random)
    let ranks = Int.random(in: 1...9, using: &random)
    var dim = Int.random(in: 1...70, using: &random)
    let vocabulary = Int.random(in: 1...300, using: &random)
    let sharding = Self.shardings[Int.random(in: 0..<4, using: &random)]
    if sharding == .columns { dim = max(dim, ranks) }
    var run = Run(
      vocabulary: vocabulary, dim: dim, batch: Int.random(in: 1...20, using: &random),
      context: context)
    run.sharding = sharding
    run.positions =
      [
        .none, .sinusoidal(maximum: 50), .learned(maximum: context + 3),
      ][Int.random(in: 0..<3, using: &random)]
    run.padding = Bool.random(using: &random) ? vocabulary - 1 : nil
    run.unknownIDs = UnknownIDs.allCases[Int.random(in: 0..<3, using: &random)]
    run.summation = Summation.allCases[Int.random(in: 0..<3, using: &random)]
    run.frequencyScaling = Bool.random(using: &random) ? .none : .inverse
    let rules = UpdateRule.names.filter {
      sharding != .columns || !["lamb", "row-wise-adagrad"].contains($0)
    }
    run.rule = rules[Int.random(in: 0..<rules.count, using: &random)]
    run.untouched = run.rule == "adamw" ? .caughtUp : nil
    run.seed = seed
    try check(run, ranks: ranks)
  }

  @Test func anyKindOfPositionAndOverflow() throws {
    let layer = try InputEmbedding(
      tokens: TokenEmbedding(vocabulary: 40, dim: 8, seed: 2),
      positions: EmbeddingTable<Float>(rows: 6, dim: 8, .normal(sigma: 1), seed: 3),
      positionOverflow: .clamp)
    let ids = (0..<4 * 9).map { Int32($0 * 7 % 40) }
    let places: [@Sendable (Range<Int>) -> PositionIDs] = [
      { _ in .sequential(offset: 2) },
      { rows in .offsets(rows.map { Int32($0) }) },
      { rows in .explicit(rows.flatMap { row in (0..<9).map { Int32((row * 5 + $0 * 3) % 8) } }) },
      { rows in .packed(cumulativeLengths: [0, 4, Int32(rows.count * 9)]) },
      { rows in .mask(rows.flatMap { row in (0..<9).map { UInt8($0 < row ? 0 : 1) } }) },
    ]
    for place in places {
      let results = try values(2) { communicator -> ([UInt32], [UInt32]) in
        let rows = communicator.rank * 2..<communicator.rank * 2 + 2
        let part = Array(ids[rows.lowerBound * 9..<rows.upperBound * 9])
        let sharded = try ShardedEmbedding(dividing: layer, over: communicator)
        var output = try sharded.makeOutput(batch: 2, context: 9)
        try sharded.forward(part, batch: 2, context: 9, at: place(rows), into: &output)
        var expected = try layer.makeOutput(batch: 2, context: 9)
        try layer.forward(part, batch: 2, context: 9, at: place(rows), into: &expected)
        return (bits(output.span), bits(expected.span))
      }
      for (output, expected) in results { #expect(output == expected) }
    }
  }

  @Test func ranksWithoutBatchOrRowsTakePart() throws {
    var run = Run(vocabulary: 3, dim: 5, batch: 2, context: 4)
    run.positions = .learned(maximum: 4)
    run.padding = nil
    try check(run, ranks: 7)
  }

  @Test func sumsAtTheSenderAreTheSameTermsAndFewerBytes() throws {
    let run = Run(vocabulary: 60, dim: 16, batch: 8, context: 32, positions: .none)
    let exact = run.joined(try values(4) { try run.part($0) })
    let summed = run.joined(try values(4) { try run.part($0, order: .ranks) })
    for (a, b) in zip(exact.tokenGradients, summed.tokenGradients) {
      #expect(Set(a.keys) == Set(b.keys))
      for (row, bits) in a {
        for (x, y) in zip(bits, b[row] ?? []) {
          let (x, y) = (Float(bitPattern: x), Float(bitPattern: y))
          // Terms are below 2^8, and at most 256 of them.
          #expect(abs(x - y) <= 0x1p-24 * 256 * 256)
        }
      }
    }
    let alone = try values(1) { try run.part($0, order: .ranks) }
    #expect(run.joined(alone).tokenGradients == exact.tokenGradients)
  }
}
