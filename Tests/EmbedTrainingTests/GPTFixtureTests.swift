// Loss, all gradients and all parameters after one step of training against PyTorch's in float64: the
// files that scripts/reference/make_gpt_fixture.py wrote.

import EmbedKernel
import EmbedTraining
import Foundation
import ReferenceKernels
import Testing

@Suite struct GPTFixtureTests {
  /// A model with what PyTorch makes of it. Tensors are by their names in the file.
  struct Case: Decodable {
    struct Step: Decodable {
      let learningRate: Double
      let beta1: Double
      let beta2: Double
      let epsilon: Double
      let weightDecay: Double
      let clip: Double
    }
    let vocabulary: Int
    let context: Int
    let dim: Int
    let heads: Int
    let layers: Int
    let positions: String
    let direction: String
    let head: String
    let batch: Int
    let loss: Double
    let gradientNorm: Double
    let step: Step
  }

  /// What a file holds.
  struct File {
    let c: Case
    /// Elements and shapes, by the file's names.
    private(set) var tensors: [String: (values: [Float], shape: [Int])] = [:]
    /// `batch` windows side by side, and the last one's last target.
    private(set) var tokens: [Int32] = []

    init(_ name: String) throws {
      let file = try Safetensors(
        contentsOf: GPTFixtureTests.folder.appending(path: "\(name).safetensors").path)
      let text = try #require(file.header.metadata["case"])
      c = try JSONDecoder().decode(Case.self, from: Data(text.utf8))
      for entry in file.header.tensors {
        if entry.name == "tokens" {
          let ids = try file.elements(of: entry.name, as: Int32.self)
          tokens = ids.indices.map { ids[$0] }
        } else {
          let values = try file.elements(of: entry.name, as: Float.self)
          tensors[entry.name] = (values.indices.map { values[$0] }, entry.shape)
        }
      }
    }

    func floats(_ name: String) throws -> [Float] { try #require(tensors[name]).values }

    /// The model, whose parameters are exactly those of the file.
    func model() throws -> GPT {
      let model = try GPT(
        GPTConfiguration(
          vocabulary: c.vocabulary, context: c.context, dim: c.dim, heads: c.heads,
          layers: c.layers, positions: #require(PositionScheme(rawValue: c.positions)),
          direction: #require(AttentionDirection(rawValue: c.direction)),
          head: #require(OutputHead(rawValue: c.head))))
      let prefix = "parameter."
      let names = tensors.keys.filter { $0.hasPrefix(prefix) }.map { $0.dropFirst(prefix.count) }
      #expect(Set(model.parameters.map(\.name)) == Set(names.map(String.init)))
      for parameter in model.parameters {
        let (values, shape) = try #require(tensors[prefix + parameter.name])
        try #require(shape == parameter.shape, "\(parameter.name)")
        parameter.table.withMutableSpan { span in
          for i in 0..<span.count { span[i] = values[i] }
        }
      }
      return model
    }
  }

  private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Fixtures/gpt")

  static func cases() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
      .filter { $0.hasSuffix(".safetensors") }.map { String($0.dropLast(12)) }
  }

  @Test func thereIsACaseForEachScheme() throws {
    let found = try Self.cases().map { try File($0).c.positions }
    #expect(Set(found) == Set(PositionScheme.allCases.map(\.rawValue)))
  }

  /// Within 1e-4 is asked, absolute and in parts of the largest of each tensor; bounds here are the
  /// oracle's, some 1e-5 of the largest.
  @Test(arguments: try cases())
  func lossAndGradientsArePyTorchs(_ name: String) throws {
    let file = try File(name)
    let (model, c, tokens) = (try file.model(), file.c, file.tokens)
    let (ids, targets) = (Array(tokens.dropLast()), Array(tokens.dropFirst()))
    let workspace = try GPTWorkspace(
      for: model, batch: c.batch, context: c.context, purpose: .training)
    let loss = try model.gradients(
      ids.span, targets: targets.span, batch: c.batch, context: c.context, .overwrite,
      in: workspace)
    let bound = model.bound(batch: c.batch, context: c.context)
    try #require(bound < 1e-4)
    #expect(abs(loss - c.loss) <= bound * c.loss, "loss \(loss) instead of \(c.loss)")
    for parameter in model.parameters {
      let expected = try file.floats("gradient." + parameter.name)
      let actual = parameter.gradientValues
      let largest = expected.map { abs($0) }.max() ?? 0
      for i in expected.indices {
        let error = Double(abs(actual[i] - expected[i]))
        #expect(
          error <= min(1e-4, bound * Double(largest)),
          "\(parameter.name)[\(i)]: \(actual[i]) instead of \(expected[i]), largest \(largest)")
      }
    }
    // The oracle itself agrees to float64's rounding, over numbers rounded to fp32.
    let reference = try model.reference.run(
      ids.map(Int.init), targets: targets.map(Int.init), context: c.context)
    #expect(abs(reference.loss - c.loss) <= 1e-12 * c.loss)
  }

  /// The data are the fixture's windows and no others, so that their order does not matter.
  @Test(arguments: try cases(), [1, 2])
  func aStepOfTrainingIsPyTorchs(_ name: String, microBatch: Int) throws {
    let file = try File(name)
    let c = file.c
    let trainer = try Trainer(
      file.model(),
      TrainingOptions(
        batch: c.batch, microBatch: microBatch, steps: 1, learningRate: c.step.learningRate,
        finalLearningRate: c.step.learningRate, warmup: 0, beta1: c.step.beta1,
        beta2: c.step.beta2, epsilon: c.step.epsilon, weightDecay: c.step.weightDecay,
        clip: c.step.clip, seed: 1))
    let data = try TrainingData(
      tokens: file.tokens, context: c.context, validationShare: 0)
    let report = try trainer.step(data)
    #expect(report.step == 1)
    #expect(report.tokens == c.batch * c.context)
    #expect(report.learningRate == c.step.learningRate)
    let bound = trainer.model.bound(batch: c.batch, context: c.context)
    #expect(abs(report.loss - c.loss) <= bound * c.loss)
    #expect(abs(report.gradientNorm - c.gradientNorm) <= bound * c.gradientNorm)
    for parameter in trainer.model.parameters {
      let before = try file.floats("parameter." + parameter.name)
      let gradient = try file.floats("gradient." + parameter.name)
      let expected = try file.floats("after." + parameter.name)
      let actual = parameter.values
      // The first step is rate * g / (|g| + epsilon) of the clipped g, whose slope is at most
      // rate / epsilon; and the result is rounded a few times.
      let scale = min(1, c.step.clip / c.gradientNorm)
      let largest = Double(gradient.map { abs($0) }.max() ?? 0) * scale
      let wrong = c.step.learningRate / c.step.epsilon * 2 * bound * largest
      #expect(actual != before, "\(parameter.name) did not move")
      for i in expected.indices {
        let rounding = 4 * 0x1p-24 * Double(abs(expected[i]) + Float(c.step.learningRate))
        #expect(
          Double(abs(actual[i] - expected[i])) <= min(1e-4, wrong + rounding),
          "\(parameter.name)[\(i)]: \(actual[i]) instead of \(expected[i])")
      }
    }
  }
}
