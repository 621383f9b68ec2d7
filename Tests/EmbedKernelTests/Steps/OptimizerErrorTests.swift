// What optimisers refuse, with the offending value, before anything is written.

import EmbedKernel
import Testing

@Suite struct OptimizerErrorTests {
  private let rate = LearningRate.constant(0.1)

  private func expectInvalid(
    _ argument: String, _ value: Double, _ make: () throws -> UpdateRule
  ) {
    #expect("\(argument) = \(value)") {
      _ = try make()
    } throws: { error in
      guard case .invalidValue(let name, let found, _)? = error as? EmbedError else { return false }
      return name == argument && (found == value || found.isNaN && value.isNaN)
    }
  }

  @Test(arguments: [-0.1, .nan, .infinity, 1e39])
  func badRatesAreNamed(_ value: Double) {
    expectInvalid("learning rate", value) { try .sgd(learningRate: .constant(value)) }
    expectInvalid("peak learning rate", value) {
      try .adamW(learningRate: .linearWarmup(peak: value, warmup: 3))
    }
    expectInvalid("final learning rate", value) {
      try .lamb(learningRate: .cosine(peak: 1, final: value, total: 3))
    }
    expectInvalid("weight decay", value) { try .adam(learningRate: rate, weightDecay: value) }
    expectInvalid("epsilon", value) { try .adagrad(learningRate: rate, epsilon: value) }
    expectInvalid("initial sum", value) {
      try .rowWiseAdagrad(learningRate: rate, initialSum: value)
    }
    expectInvalid("rate decay", value) { try .adagrad(learningRate: rate, rateDecay: value) }
  }

  @Test(arguments: [-0.1, 1, 1.5, .nan])
  func badBetasAreNamed(_ value: Double) {
    expectInvalid("beta1", value) { try .adam(learningRate: rate, beta1: value) }
    expectInvalid("beta2", value) { try .adamW(learningRate: rate, beta2: value) }
    expectInvalid("beta1", value) { try .lamb(learningRate: rate, beta1: value) }
    expectInvalid("momentum", value) { try .momentum(learningRate: rate, beta: value) }
  }

  @Test func numbersThatCannotBeCaughtUpAreNamed() {
    expectInvalid("beta1", 0.9) {
      try .adamW(learningRate: rate, beta1: 0.9, beta2: 0.8, untouched: .caughtUp)
    }
    expectInvalid("weight decay", 10) {
      try .adamW(learningRate: rate, weightDecay: 10, untouched: .caughtUp)
    }
    for name in UpdateRule.names where name != "adamw" {
      #expect(
        throws: EmbedError.unsupported(
          argument: "untouched rows of \(name)", value: "caught-up",
          expected: "stepped or left; only adamw catches rows up")
      ) { try UpdateRule.named(name, learningRate: rate, untouched: .caughtUp) }
    }
    #expect(throws: EmbedError.self) { try UpdateRule.named("adamax", learningRate: rate) }
  }

  @Test func schedulesAreChecked() {
    for schedule in [
      LearningRate.linearWarmup(peak: 1, warmup: -1), .inverseSquareRoot(peak: 1, warmup: -1),
      .cosine(peak: 1, warmup: 5, total: 5), .steps(initial: 1, factor: 0.5, every: 0),
      .steps(initial: 1, factor: 0, every: 1), .steps(initial: 1, factor: .nan, every: 1),
    ] {
      #expect(throws: EmbedError.self, "\(schedule)") { try UpdateRule.sgd(learningRate: schedule) }
    }
  }

  @Test func gradientsOfOtherShapesAreNamedAndNothingMoves() throws {
    let table = try EmbeddingTable<Float>(rows: 6, dim: 4, .normal(sigma: 1), seed: 1)
    let before = elements(table)
    let short = [Float](repeating: 1, count: 23)
    let eight = [Float](repeating: 1, count: 8)
    let optimizer = try TableOptimizer(.adamW(learningRate: rate, untouched: .caughtUp), for: table)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "rows of the gradient", value: 7, expected: "the table's, 6")
    ) { try optimizer.step(sparseGradient(rows: 7, dim: 4, [1: [1, 2, 3, 4]])) }
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the gradient", value: 3, expected: "the table's, 4")
    ) { try optimizer.step(sparseGradient(rows: 6, dim: 3, [1: [1, 2, 3]])) }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "gradient", expected: 24, shape: [6, 4], actual: 23)
    ) { try optimizer.step(dense: short.span) }
    var groups = try RowGroups()
    let ids: [Int32] = [0, 8, 2]
    try groups.group(ids.span, context: 3, vocabulary: 9)
    let output = [Float](repeating: 1, count: 12)
    #expect(throws: EmbedError.tokenOutOfRange(id: 8, batchRow: 0, position: 1, vocabulary: 6)) {
      try optimizer.step(outputGradient: output.span, groups: groups)
    }
    #expect(throws: EmbedError.tokenOutOfRange(id: 8, batchRow: 0, position: 1, vocabulary: 6)) {
      try optimizer.prepare(groups)
    }
    let near: [Int32] = [0, 5, 2]
    try groups.group(near.span, context: 3, vocabulary: 9)
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "output gradient", expected: 12, shape: [3, 4], actual: 8)
    ) { try optimizer.step(outputGradient: eight.span, groups: groups) }
    for scale in [Float.nan, .infinity] {
      #expect(throws: EmbedError.self) {
        try optimizer.step(sparseGradient(rows: 6, dim: 4, [:]), scale: scale)
      }
    }
    #expect(elements(table) == before)
    #expect(optimizer.stepCount == 0)
  }

  @Test func rowsOutsideTheTableAreNamed() throws {
    let table = try EmbeddingTable<Float>(rows: 6, dim: 4)
    for trainable in [TrainableRows.rows([1, 6]), .range(4..<7), .rows([-1]), .rows([])] {
      #expect(throws: EmbedError.self, "\(trainable)") {
        try TableOptimizer(.sgd(learningRate: rate), for: table, trainable: trainable)
      }
    }
    for row in [-1, 6] {
      #expect(
        throws: EmbedError.invalidSize(
          argument: "frozen row", value: row, expected: "a row of 0...5")
      ) { try TableOptimizer(.sgd(learningRate: rate), for: table, frozenRow: row) }
    }
  }
}
