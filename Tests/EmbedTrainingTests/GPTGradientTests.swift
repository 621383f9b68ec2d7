// The gradient of the whole model against central differences of its oracle in Double, for every
// scheme, direction and head.

import EmbedKernel
import EmbedTraining
import ReferenceKernels
import TestSupport
import Testing

@Suite struct GPTGradientTests {
  /// Unoptimised, the oracle is slow: a sample of each parameter then, all elements otherwise.
  #if DEBUG
    static let sample: Int? = 5
  #else
    static let sample: Int? = nil
  #endif

  /// Compares loss and gradients of a pass with the oracle's.
  ///
  /// - Parameter sample: The elements of each parameter that are tried; nil for all. The largest of
  ///   the gradient is always among them, so that a bound in parts of it means what it says.
  private func expectExact(
    _ model: GPT, _ batch: GPTBatch, in workspace: GPTWorkspace, sample: Int?
  ) throws {
    let loss = try batch.gradients(of: model, in: workspace)
    var reference = try model.reference
    let expected = batch.run(reference).loss
    let bound = model.bound(batch: batch.batch, context: batch.context)
    #expect(abs(loss - expected) <= bound * expected, "loss \(loss) instead of \(expected)")
    let (ids, targets) = (batch.ids.map(Int.init), batch.targets.map(Int.init))
    var draws = SeededGenerator(seed: 77)
    for parameter in model.parameters {
      let gradient = parameter.gradientValues
      try #require(gradient.count == parameter.shape.reduce(1, *))
      var elements = Array(0..<gradient.count)
      if let sample, sample < gradient.count {
        let largest = elements.max { abs(gradient[$0]) < abs(gradient[$1]) } ?? 0
        elements =
          [largest] + (1..<sample).map { _ in Int.random(in: elements.indices, using: &draws) }
      }
      let slopes = elements.map {
        reference.slope(of: parameter.name, $0, ids, targets: targets, context: batch.context)
      }
      let scale = slopes.map { abs($0) }.max() ?? 0
      // Differences themselves are wrong by step² / 6 times a third derivative and 2⁻⁵² / step.
      let tolerance = bound * scale + 1e-9
      let worst = zip(elements, slopes).max {
        abs(Double(gradient[$0.0]) - $0.1) < abs(Double(gradient[$1.0]) - $1.1)
      }
      let (element, slope) = try #require(worst)
      #expect(
        abs(Double(gradient[element]) - slope) <= tolerance,
        "\(parameter.name)[\(element)]: \(gradient[element]) instead of \(slope), largest \(scale)")
    }
  }

  @Test(arguments: GPTCase.all)
  func everyGradientIsTheDifference(_ c: GPTCase) throws {
    let model = try GPT.drawn(c.configuration(), seed: 1)
    let batch = GPTBatch(model.configuration, batch: 2, context: 6, seed: 2)
    let workspace = try GPTWorkspace(for: model, batch: 2, context: 6, purpose: .training)
    try expectExact(model, batch, in: workspace, sample: Self.sample)
  }

  /// Contexts on both sides of borders of tiles, in buffers larger than the pass and used before.
  @Test(arguments: GPTCase.alternating, [1, 5, 65, 130])
  func anyContextWillDo(_ c: GPTCase, context: Int) throws {
    let model = try GPT.drawn(c.configuration(context: 131, layers: 1), seed: 3)
    let workspace = try GPTWorkspace(for: model, batch: 3, context: 131, purpose: .training)
    let before = GPTBatch(model.configuration, batch: 3, context: 131, seed: 4)
    _ = try before.gradients(of: model, in: workspace)
    let batch = GPTBatch(
      model.configuration, batch: context < 100 ? 2 : 1, context: context, seed: 5)
    try expectExact(model, batch, in: workspace, sample: context > 5 ? 2 : 8)
  }

  /// Widths that no vector divides, and three heads, whose slopes ALiBi interleaves.
  @Test(arguments: GPTCase.alternating)
  func oddWidthsWillDo(_ c: GPTCase) throws {
    let dim = c.positions == .rope ? 18 : 21
    let model = try GPT.drawn(
      c.configuration(vocabulary: 37, context: 19, dim: dim, heads: 3, layers: 1), seed: 6)
    let batch = GPTBatch(model.configuration, batch: 3, context: 19, seed: 7)
    let workspace = try GPTWorkspace(for: model, batch: 3, context: 19, purpose: .training)
    try expectExact(model, batch, in: workspace, sample: 3)
  }

  @Test(arguments: GPTCase.alternating)
  func threadsChangeNoBit(_ c: GPTCase) throws {
    let configuration = c.configuration(
      vocabulary: 131, context: 65, dim: 48, heads: 4, layers: 2)
    let model = try GPT.drawn(configuration, seed: 8)
    let batch = GPTBatch(configuration, batch: 3, context: 65, seed: 9)
    var results: [(loss: Double, gradients: [String: [Float]])] = []
    for threads in [1, 2, 2, 3] {
      let workspace = try GPTWorkspace(
        for: model, batch: 3, context: 65, purpose: .training, threads: threads)
      let loss = try batch.gradients(of: model, in: workspace)
      results.append((loss, model.gradientValues))
    }
    for result in results.dropFirst() {
      #expect(result.loss == results[0].loss)
      for (name, values) in results[0].gradients {
        #expect(result.gradients[name] == values, "\(name)")
      }
    }
  }

  /// Micro-batches of unequal size, each weighted by its share, add up to the batch.
  @Test(arguments: GPTCase.alternating)
  func microBatchesAddUp(_ c: GPTCase) throws {
    let model = try GPT.drawn(c.configuration(), seed: 10)
    let whole = GPTBatch(model.configuration, batch: 5, context: 6, seed: 11)
    let workspace = try GPTWorkspace(for: model, batch: 5, context: 6, purpose: .training)
    let loss = try whole.gradients(of: model, in: workspace)
    let expected = model.gradientValues
    let small = try GPTWorkspace(for: model, batch: 3, context: 6, purpose: .training)
    var sum = 0.0
    for (part, writing) in [(0..<3, GradientWriting.overwrite), (3..<5, .accumulate)] {
      let weight = Float(part.count) / 5
      sum +=
        try whole.sequences(part).gradients(of: model, weight: weight, writing, in: small)
        * Double(part.count) / 5
    }
    let bound = model.bound(batch: 5, context: 6)
    #expect(abs(sum - loss) <= bound * loss)
    for (name, values) in model.gradientValues {
      let exact = expected[name] ?? []
      let largest = exact.map { abs($0) }.max() ?? 0
      for i in exact.indices {
        #expect(
          Double(abs(values[i] - exact[i])) <= 2 * bound * Double(largest),
          "\(name)[\(i)]: \(values[i]) instead of \(exact[i])")
      }
    }
  }

  /// A second pass that overwrites leaves nothing of the first.
  @Test(arguments: OutputHead.allCases)
  func overwritingForgets(_ head: OutputHead) throws {
    let c = GPTCase(positions: .t5, direction: .causal, head: head)
    let model = try GPT.drawn(c.configuration(), seed: 12)
    let workspace = try GPTWorkspace(for: model, batch: 2, context: 6, purpose: .training)
    let batch = GPTBatch(model.configuration, batch: 2, context: 6, seed: 13)
    _ = try batch.gradients(of: model, in: workspace)
    let first = model.gradientValues
    let other = GPTBatch(model.configuration, batch: 2, context: 6, seed: 14)
    _ = try other.gradients(of: model, in: workspace)
    #expect(model.gradientValues != first)
    _ = try batch.gradients(of: model, in: workspace)
    #expect(model.gradientValues == first)
  }
}
