// Gradients against central differences of a loss in Double, for every kind of positions and every
// option: the loss is a sum of sines, so its slope differs everywhere.

import EmbedKernel
import Foundation
import TestSupport
import Testing

@Suite struct BackwardGradientTests {
  @Test(arguments: 0..<24 as Range<UInt64>, Summation.allCases)
  func gradientsAreTheLossesSlopes(seed: UInt64, summation: Summation) throws {
    var random = SeededGenerator(seed: seed)
    func pick(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &random) }
    let shape = EmbeddingShape(
      vocabulary: pick(1...6), batch: pick(1...4), context: pick(1...4), dim: pick(1...5))
    let case_ = BackwardBatch(&random, seed: seed, shape: shape, hotShare: 0.5, kind: Int(seed))
    let options = BackwardOptions(
      scale: [1, 2.5][pick(0...1)], gradientScale: [1, 0.25][pick(0...1)],
      paddingID: pick(0...1) == 0 ? case_.ids[0] : nil,
      frequencyScaling: pick(0...1) == 0 ? .inverse : .none, summation: summation)
    let loss = Loss(case_, options, &random)

    // The output's gradient, in Double and then rounded, as the caller of backward has it.
    let batch = case_.replacing(gradient: loss.outputGradient.map { Float($0) })
    var workspace = try BackwardWorkspace()
    for way in Way.all {
      let result = try batch.rowSparse(way, options, &workspace)
      let what = "\(case_), \(options), \(way)"
      for element in 0..<loss.tokens.count {
        let (row, slope) = (element / shape.dim, loss.slope(token: element))
        let count = Float(case_.ids.count { $0 == row })
        var expected = Float(slope) * options.gradientScale
        if row == options.paddingID { expected = 0 }
        if options.frequencyScaling == .inverse, count > 0 { expected /= count }
        expectClose(result.tokens[element], expected, "token element \(element), \(what)")
      }
      for element in 0..<loss.positions.count {
        let expected = Float(loss.slope(position: element)) * options.gradientScale
        expectClose(result.positions[element], expected, "position element \(element), \(what)")
      }
    }
  }

  /// A central difference of step h = 2^-17 errs by h²/6 and the loss's rounding over h: below 1e-8.
  private func expectClose(_ actual: Float, _ expected: Float, _ what: @autoclosure () -> String) {
    if abs(actual - expected) > 4e-6 * max(1, abs(expected)) {
      Issue.record("\(what()): \(actual) instead of \(expected)")
    }
  }
}

/// sum of weight * sin(scale * token + position) over a batch's output, in Double.
private struct Loss {
  let case_: BackwardBatch
  let scale: Double
  var tokens: [Double]
  var positions: [Double]
  let weights: [Double]

  init(_ case_: BackwardBatch, _ options: BackwardOptions, _ random: inout SeededGenerator) {
    func draw(_ count: Int) -> [Double] {
      (0..<count).map { _ in Double.random(in: -1...1, using: &random) }
    }
    self.case_ = case_
    scale = Double(options.scale)
    tokens = draw(case_.shape.vocabulary * case_.shape.dim)
    positions = draw(case_.maximum * case_.shape.dim)
    weights = draw(case_.ids.count * case_.shape.dim)
  }

  private func forEach(_ body: (_ output: Int, _ value: Double) -> Void) {
    let dim = case_.shape.dim
    for n in 0..<case_.ids.count {
      for i in 0..<dim {
        let value = scale * tokens[case_.ids[n] * dim + i] + positions[case_.places[n] * dim + i]
        body(n * dim + i, value)
      }
    }
  }

  private var value: Double {
    var total = 0.0
    forEach { total += weights[$0] * sin($1) }
    return total
  }

  var outputGradient: [Double] {
    var gradient = weights
    forEach { gradient[$0] *= cos($1) }
    return gradient
  }

  func slope(token element: Int) -> Double {
    slope { $0.tokens[element] += $1 }
  }

  func slope(position element: Int) -> Double {
    slope { $0.positions[element] += $1 }
  }

  private func slope(_ move: (inout Loss, Double) -> Void) -> Double {
    let step = 0x1p-17
    var (above, below) = (self, self)
    move(&above, step)
    move(&below, -step)
    return (above.value - below.value) / (2 * step)
  }
}
