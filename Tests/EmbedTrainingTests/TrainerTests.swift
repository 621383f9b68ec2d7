// A training run: its data, schedule, clipping and faults, and that it learns.

import EmbedKernel
import EmbedTraining
import Foundation
import TestSupport
import Testing

@Suite struct TrainerTests {
  private func model(
    _ positions: PositionScheme = .learned, context: Int = 6, dim: Int = 8, seed: UInt64 = 1
  ) throws -> GPT {
    let c = GPTCase(positions: positions, direction: .causal, head: .tied)
    return try GPT(c.configuration(context: context, dim: dim, layers: 1), seed: seed)
  }

  // MARK: Data

  @Test(arguments: [0, 0.1, 0.25, 0.5]) func validationIsHeldBack(_ share: Double) throws {
    let tokens = (0..<1_000).map(Int32.init)
    let data = try TrainingData(tokens: tokens, context: 10, validationShare: share)
    #expect(data.training + data.validation == tokens)
    #expect(data.validation.count == Int(1_000 * share))
    #expect(Set(data.training).isDisjoint(with: data.validation))
  }

  @Test func textsThatAreTooShortAreRefused() throws {
    func refuses(
      _ count: Int, _ context: Int, _ share: Double, _ expected: TrainingError
    ) {
      #expect(throws: expected) {
        try TrainingData(
          tokens: [Int32](repeating: 0, count: count), context: context, validationShare: share)
      }
    }
    refuses(6, 6, 0, .textTooShort(part: "training", tokens: 6, needed: 7))
    refuses(0, 6, 0, .textTooShort(part: "training", tokens: 0, needed: 7))
    refuses(50, 6, 0.1, .textTooShort(part: "validation", tokens: 5, needed: 7))
    refuses(50, .max, 0, .textTooShort(part: "training", tokens: 50, needed: .max))
    refuses(50, 0, 0, .invalidSetting(name: "context", value: "0", expected: "1 or more"))
    for share in [-0.1, 1, .nan, .infinity] {
      #expect(throws: TrainingError.self, "\(share)") {
        try TrainingData(tokens: [1, 2, 3], context: 1, validationShare: share)
      }
    }
    // Long enough for a sequence, not for a batch of them.
    let data = try TrainingData(
      tokens: [Int32](repeating: 0, count: 13), context: 6, validationShare: 0)
    let trainer = try Trainer(model(), TrainingOptions(batch: 3, steps: 1))
    #expect(throws: TrainingError.self) { try trainer.step(data) }
    #expect(trainer.stepCount == 0)
  }

  // MARK: Steps

  @Test func ratesRiseAndFall() throws {
    let options = TrainingOptions(
      batch: 2, steps: 10, learningRate: 0.5, finalLearningRate: 0.125, warmup: 4)
    let trainer = try Trainer(model(), options)
    var draws = SeededGenerator(seed: 60)
    let data = try TrainingData(tokens: draws.ids(100, below: 11), context: 6)
    for step in 1...12 {
      let report = try trainer.step(data)
      let expected =
        step <= 4
        ? 0.5 * Double(step) / 4
        : 0.125 + 0.375 / 2 * (1 + cos(Double.pi * Double(min(step, 10) - 4) / 6))
      #expect(abs(report.learningRate - expected) < 1e-15, "step \(step)")
      #expect(report.step == step && trainer.stepCount == step)
    }
  }

  /// The norm is that of the whole gradient before clipping; clipping halves the step where epsilon
  /// is so large that a step is the gradient's multiple.
  @Test(arguments: [nil, 0.5, 2.0] as [Double?])
  func clippingScalesTheGradient(_ part: Double?) throws {
    var draws = SeededGenerator(seed: 61)
    let tokens = draws.ids(13, below: 11)
    let c = GPTCase(positions: .learned, direction: .causal, head: .tied)
    let model = try GPT.drawn(c.configuration(), seed: 62)
    let workspace = try GPTWorkspace(for: model, batch: 2, context: 6, purpose: .training)
    _ = try model.gradients(
      tokens.span.extracting(..<12), targets: tokens.span.extracting(1...), batch: 2, context: 6,
      .overwrite, in: workspace)
    let gradients = model.gradientValues
    let before = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.values) })
    let norm = gradients.values.joined().reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()

    let options = TrainingOptions(
      batch: 2, steps: 1, learningRate: 1_000, finalLearningRate: 1_000, epsilon: 1_000,
      weightDecay: 0, clip: part.map { $0 * norm })
    let trainer = try Trainer(model, options)
    let data = try TrainingData(tokens: tokens, context: 6, validationShare: 0)
    let report = try trainer.step(data)
    #expect(abs(report.gradientNorm - norm) <= 1e-6 * norm)
    let factor = part == 0.5 ? 0.5 : 1
    for parameter in model.parameters {
      let old = before[parameter.name] ?? []
      let gradient = gradients[parameter.name] ?? []
      for (i, value) in parameter.values.enumerated() {
        // rate * g / (|g| + epsilon), and clip_grad_norm_'s 1e-6 beside the norm.
        let g = factor * Double(gradient[i])
        let expected = Double(old[i]) - 1_000 * g / (abs(g) + 1_000)
        #expect(abs(Double(value) - expected) <= 1e-5 * abs(g) + 2e-7, "\(parameter.name)[\(i)]")
      }
    }
  }

  /// Decay shrinks matrices and nothing else: with a rate, but gradients cut to nothing.
  @Test(arguments: PositionScheme.allCases)
  func matricesAloneDecay(_ positions: PositionScheme) throws {
    var draws = SeededGenerator(seed: 63)
    let c = GPTCase(positions: positions, direction: .causal, head: .untied)
    let model = try GPT.drawn(c.configuration(), seed: 64)
    let before = Dictionary(uniqueKeysWithValues: model.parameters.map { ($0.name, $0.values) })
    let trainer = try Trainer(
      model,
      TrainingOptions(
        batch: 2, steps: 1, learningRate: 0.5, finalLearningRate: 0.5, epsilon: 1e30,
        weightDecay: 0.5))
    _ = try trainer.step(
      TrainingData(tokens: draws.ids(13, below: 11), context: 6, validationShare: 0))
    for parameter in model.parameters {
      let decays = parameter.shape.count == 2 && parameter.name != "relative_attention_bias.weight"
      let expected = (before[parameter.name] ?? []).map { decays ? $0 * 0.75 : $0 }
      #expect(parameter.values == expected, "\(parameter.name)")
    }
  }

  @Test func runsAreAFunctionOfTheirSeeds() throws {
    var draws = SeededGenerator(seed: 65)
    let data = try TrainingData(tokens: draws.ids(200, below: 11), context: 6)
    func run(model seed: UInt64, order: UInt64, threads: Int) throws -> [StepReport] {
      let trainer = try Trainer(
        model(seed: seed), TrainingOptions(batch: 4, steps: 12, seed: order), threads: threads)
      return try (0..<12).map { _ in try trainer.step(data) }
    }
    let first = try run(model: 1, order: 1, threads: 1)
    #expect(try run(model: 1, order: 1, threads: 2) == first)
    #expect(try run(model: 2, order: 1, threads: 2) != first)
    #expect(try run(model: 1, order: 2, threads: 2) != first)
  }

  /// A batch of one's own takes the step that the same batch of a text takes.
  @Test func ownBatchesDoAsWell() throws {
    var draws = SeededGenerator(seed: 66)
    let tokens = draws.ids(13, below: 11)
    let options = TrainingOptions(batch: 2, steps: 2)
    let (own, read) = (try Trainer(model(), options), try Trainer(model(), options))
    let data = try TrainingData(tokens: tokens, context: 6, validationShare: 0)
    for _ in 0..<2 {
      let a = try own.step(
        ids: tokens.span.extracting(..<12), targets: tokens.span.extracting(1...))
      let b = try read.step(data)
      #expect(abs(a.loss - b.loss) < 1e-6)
    }
    #expect(throws: TrainingError.self) {
      try own.step(ids: tokens.span, targets: tokens.span)
    }
  }

  // MARK: Faults

  @Test func faultsMoveNothing() throws {
    let trainer = try Trainer(model(), TrainingOptions(batch: 1, steps: 5))
    let before = trainer.model.parameters.map(\.values)
    func data(_ id: Int32) throws -> TrainingData {
      try TrainingData(tokens: [1, 2, 3, id, 4, 5, 6], context: 6, validationShare: 0)
    }
    for id in [-1, 11, .max, .min] as [Int32] {
      #expect(throws: TrainingError.self, "id \(id)") { try trainer.step(data(id)) }
    }
    let other = try TrainingData(tokens: [1, 2, 3, 4, 5], context: 4, validationShare: 0)
    #expect(throws: TrainingError.self) { try trainer.step(other) }
    #expect(trainer.model.parameters.map(\.values) == before)
    #expect(trainer.stepCount == 0)
  }

  @Test(arguments: [Float.nan, .infinity, 3e38]) func divergenceIsReported(_ value: Float) throws {
    let trainer = try Trainer(model(), TrainingOptions(batch: 1, steps: 5))
    trainer.model.parameters[0].table.withMutableSpan { span in
      for i in span.indices { span[i] = value }
    }
    let before = trainer.model.parameters.map { $0.values.map(\.bitPattern) }
    let data = try TrainingData(tokens: [1, 2, 3, 0, 4, 5, 6], context: 6, validationShare: 0)
    #expect {
      try trainer.step(data)
    } throws: { error in
      guard case .diverged(step: 1, _, _) = error as? TrainingError else { return false }
      return true
    }
    #expect(trainer.model.parameters.map { $0.values.map(\.bitPattern) } == before)
  }

  static let wrongOptions: [TrainingOptions] = [
    TrainingOptions(batch: 0, steps: 1), TrainingOptions(batch: 2, microBatch: 0, steps: 1),
    TrainingOptions(batch: 2, microBatch: 3, steps: 1), TrainingOptions(batch: 2, steps: -1),
    TrainingOptions(batch: 2, steps: 1, learningRate: -1),
    TrainingOptions(batch: 2, steps: 1, learningRate: .nan),
    TrainingOptions(batch: 2, steps: 1, warmup: -1),
    TrainingOptions(batch: 2, steps: 1, warmup: .max),
    TrainingOptions(batch: 2, steps: 1, beta1: 1), TrainingOptions(batch: 2, steps: 1, beta2: -0.1),
    TrainingOptions(batch: 2, steps: 1, epsilon: -1),
    TrainingOptions(batch: 2, steps: 1, weightDecay: -1),
    TrainingOptions(batch: 2, steps: 1, clip: 0), TrainingOptions(batch: 2, steps: 1, clip: .nan),
    TrainingOptions(batch: .max, steps: 1), TrainingOptions(batch: 1 << 40, steps: 1),
  ]

  @Test(arguments: wrongOptions.indices) func wrongOptionsAreRefused(_ index: Int) throws {
    let model = try model()
    #expect(throws: EmbedError.self) { try Trainer(model, Self.wrongOptions[index]) }
  }

  // MARK: Learning

  /// A repeated pattern of 7 tokens is learned to below 0.1 nats, and sampled.
  @Test(arguments: PositionScheme.allCases)
  func aPatternIsLearned(_ positions: PositionScheme) throws {
    let pattern: [Int32] = [3, 1, 4, 1, 5, 9, 2]
    let tokens = (0..<1_400).map { pattern[$0 % 7] }
    let data = try TrainingData(tokens: tokens, context: 6)
    #if DEBUG
      let steps = 150
    #else
      let steps = 300
    #endif
    let trainer = try Trainer(
      model(positions, dim: 32),
      TrainingOptions(
        batch: 8, microBatch: 3, steps: steps, learningRate: 0.01, finalLearningRate: 0.001,
        warmup: 10, seed: 2))
    let first = try trainer.step(data)
    // No token is likelier than another before training.
    #expect(abs(first.loss - log(11)) < 0.1)
    for _ in 1..<steps { _ = try trainer.step(data) }
    // But for the first token: of two that are 1, it can't tell which.
    let evaluation = try trainer.model.evaluate(data.validation, context: 6)
    #expect(evaluation.positionLosses.dropFirst().allSatisfy { $0 < 0.1 }, "\(evaluation)")
    let drawn = try trainer.model.sample(
      after: [3, 1, 4], count: 11, Sampling(temperature: 0))
    #expect(drawn == [1, 5, 9, 2, 3, 1, 4, 1, 5, 9, 2])
  }
}
