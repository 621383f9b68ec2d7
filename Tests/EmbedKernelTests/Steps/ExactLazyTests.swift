// Exact-lazy AdamW against dense AdamW in Double, over thousands of steps.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct ExactLazyTests {
  struct Case: Sendable, CustomStringConvertible {
    var description: String
    var rate: LearningRate
    var weightDecay = 0.01
    var beta1 = 0.9
    var beta2 = 0.999
    var epsilon = 1e-8
    /// The size of gradients; with a small one epsilon matters.
    var size: Float = 1e-2
    var steps = 5_000

    static let all = [
      Case(description: "constant rate", rate: .constant(1e-3)),
      Case(
        description: "warm-up and cosine",
        rate: .cosine(peak: 2e-3, final: 1e-5, warmup: 500, total: 5_000), weightDecay: 0.1),
      Case(
        description: "inverse square root, fast moments",
        rate: .inverseSquareRoot(peak: 1e-3, warmup: 100), beta1: 0.95, beta2: 0.98),
      Case(description: "without decay", rate: .constant(1e-4), weightDecay: 0),
      Case(description: "gradients near epsilon", rate: .constant(1e-3), size: 1e-7),
      Case(description: "a large epsilon", rate: .constant(1e-3), epsilon: 1e-3, size: 1e-3),
      Case(description: "no first moment", rate: .constant(1e-4), beta1: 0, steps: 500),
      Case(
        description: "falling in steps", rate: .steps(initial: 1e-3, factor: 0.5, every: 300),
        steps: 2_000),
      Case(description: "the horizon", rate: .constant(1e-4), steps: 9_000),
    ]
  }

  /// Row r gets a gradient in one of 2^r steps: the first in every step, the last almost never.
  @Test(arguments: Case.all)
  func rowsFollowDenseAdamWInDouble(_ c: Case) throws {
    let (rows, dim) = (14, 20)
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 0.02), seed: 3)
    let optimizer = try TableOptimizer(
      .adamW(
        learningRate: c.rate, beta1: c.beta1, beta2: c.beta2, epsilon: c.epsilon,
        weightDecay: c.weightDecay, untouched: .caughtUp), for: table)
    var numbers = ReferenceOptimizer.Numbers()
    (numbers.weightDecay, numbers.epsilon) = (c.weightDecay, c.epsilon)
    (numbers.beta1, numbers.beta2) = (c.beta1, c.beta2)
    var reference = ReferenceOptimizer("adamw", numbers, parameters: elements(table), dim: dim)
    var random = SeededGenerator(seed: 11)
    for step in 1...c.steps {
      var values: [Int: [Float]] = [:]
      for row in 0..<rows where Int.random(in: 0..<(1 << row), using: &random) == 0 {
        values[row] = (0..<dim).map { column in
          // Some elements get no gradient at all, some one that is far smaller.
          let size = column == 0 ? 0 : column == 1 ? c.size * 1e-5 : c.size
          return Float.random(in: -1...1, using: &random) * size
        }
      }
      if Bool.random(using: &random) {
        try prepare(optimizer, rows: Array(values.keys))
      }
      let gradient = try sparseGradient(rows: rows, dim: dim, values)
      try optimizer.step(gradient)
      reference.step(
        rate: c.rate.rate(at: step), rows: 0..<rows,
        gradient: values.mapValues { $0.map(Double.init) })
      if step % 1_000 == 999 {
        try prepare(optimizer, rows: Array(0..<rows))
        let (distance, row) = greatestDistance(elements(table), reference.parameters, dim: dim)
        #expect(distance < 1e-6, "\(c), step \(step), row \(row) when read")
      }
    }
    try optimizer.synchronise()
    let (distance, row) = greatestDistance(elements(table), reference.parameters, dim: dim)
    print("exact-lazy:", c, distance, row)
    #expect(distance < 1e-6, "\(c), row \(row)")
  }
}
