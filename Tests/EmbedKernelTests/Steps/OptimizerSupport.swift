// What the optimiser tests share: gradients, tables, and distances between rows.

import EmbedKernel
import ReferenceKernels

/// A row-sparse gradient with the given rows.
func sparseGradient(rows: Int, dim: Int, _ values: [Int: [Float]]) throws -> RowSparseGradient {
  var gradient = try RowSparseGradient(rows: rows, dim: dim)
  try gradient.resize(to: values.count)
  for (k, row) in values.keys.sorted().enumerated() {
    unsafe gradient.rowIDMemory[k] = Int32(row)
    for (i, value) in (values[row] ?? []).enumerated() {
      unsafe gradient.valueMemory[k * dim + i] = value
    }
  }
  return gradient
}

/// Brings rows up to date.
func prepare(_ optimizer: TableOptimizer, rows: [Int]) throws {
  try optimizer.prepare(rows: rows.span)
}

/// The elements of a table.
func elements(_ table: EmbeddingTable<Float>) -> [Float] { unsafe Array(table.unsafeBuffer) }

/// The bytes of a span.
func copied(_ bytes: RawSpan) -> [UInt8] {
  unsafe bytes.withUnsafeBytes { unsafe Array($0) }
}

/// Writes bytes.
func fill(_ bytes: inout MutableRawSpan, _ values: [UInt8]) {
  unsafe bytes.withUnsafeMutableBytes { unsafe $0.copyBytes(from: values) }
}

/// The greatest distance of a row from its reference, over the reference's norm, and its row.
func greatestDistance(
  _ actual: [Float], _ expected: [Double], dim: Int
) -> (distance: Double, row: Int) {
  var greatest = (0.0, -1)
  for row in 0..<expected.count / dim {
    var (difference, norm) = (0.0, 0.0)
    for i in row * dim..<(row + 1) * dim {
      difference += (Double(actual[i]) - expected[i]) * (Double(actual[i]) - expected[i])
      norm += expected[i] * expected[i]
    }
    let distance = norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
    if !(distance <= greatest.0) { greatest = (distance, row) }
  }
  return greatest
}

/// Every optimiser with numbers of its own, dense and lazy.
struct RuleCase: Sendable, CustomStringConvertible {
  let description: String
  let rule: UpdateRule
  let numbers: ReferenceOptimizer.Numbers
  var start = 0.0

  /// - Parameter rate: Of every rule.
  static func all(rate: LearningRate) throws -> [RuleCase] {
    var cases: [RuleCase] = []
    for untouched in [UntouchedRows.stepped, .left] {
      for decay in [0, 0.1] {
        let name = "\(untouched.rawValue), decay \(decay)"
        var n = ReferenceOptimizer.Numbers()
        n.weightDecay = decay
        cases.append(
          RuleCase(
            description: "sgd \(name)",
            rule: try .sgd(learningRate: rate, weightDecay: decay, untouched: untouched),
            numbers: n))
        for direction in UpdateRule.Momentum.allCases {
          n.nesterov = direction == .nesterov
          cases.append(
            RuleCase(
              description: "momentum \(direction.rawValue) \(name)",
              rule: try .momentum(
                learningRate: rate, direction: direction, weightDecay: decay, untouched: untouched),
              numbers: n))
        }
        n.epsilon = 1e-10
        cases.append(
          RuleCase(
            description: "row-wise adagrad \(name)",
            rule: try .rowWiseAdagrad(
              learningRate: rate, weightDecay: decay, untouched: untouched), numbers: n))
        n.rateDecay = 0.01
        cases.append(
          RuleCase(
            description: "adagrad \(name)",
            rule: try .adagrad(
              learningRate: rate, rateDecay: 0.01, initialSum: 0.5, weightDecay: decay,
              untouched: untouched), numbers: n, start: 0.5))
        n.epsilon = 1e-8
        for form in UpdateRule.AdamEpsilon.allCases {
          n.uncorrectedEpsilon = form == .uncorrected
          cases.append(
            RuleCase(
              description: "adam \(form.rawValue) \(name)",
              rule: try .adam(
                learningRate: rate, epsilonForm: form, weightDecay: decay, untouched: untouched),
              numbers: n))
        }
        n.uncorrectedEpsilon = false
        (n.beta1, n.beta2) = (0.8, 0.95)
        cases.append(
          RuleCase(
            description: "adamw \(name)",
            rule: try .adamW(
              learningRate: rate, beta1: 0.8, beta2: 0.95, weightDecay: decay, untouched: untouched),
            numbers: n))
        n.epsilon = 1e-6
        cases.append(
          RuleCase(
            description: "lamb \(name)",
            rule: try .lamb(
              learningRate: rate, beta1: 0.8, beta2: 0.95, weightDecay: decay, untouched: untouched),
            numbers: n))
      }
    }
    return cases
  }
}
