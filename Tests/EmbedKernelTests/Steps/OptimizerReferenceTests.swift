// Steps against plain loops in Double.
//
// One step rounds a parameter to half of its last place, u = 2^-24, and the update by some 10 roundings
// of its own; over 40 steps that is below 40 u (1 + 10 |update| / |parameter|) of a row's norm. The
// tolerance, 2e-5, allows for updates ten times the parameters' size, as at the start of Adagrad.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct OptimizerReferenceTests {
  static let rules = try? RuleCase.all(
    rate: .cosine(peak: 0.02, final: 0.001, warmup: 5, total: 35))

  @Test(arguments: try #require(rules))
  func stepsFollowTheFormulas(_ c: RuleCase) throws {
    let (rows, dim) = (24, 37)
    for seed in 0..<4 as Range<UInt64> {
      var random = SeededGenerator(seed: seed)
      let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 0.1), seed: seed)
      let optimizer = try TableOptimizer(c.rule, for: table, frozenRow: 3)
      let before = elements(table)
      var reference = ReferenceOptimizer(
        c.rule.name, c.numbers, parameters: before, dim: dim, start: c.start)
      for step in 1...40 {
        var values: [Int: [Float]] = [:]
        for row in 0..<rows where step % 10 == 0 || Int.random(in: 0..<3, using: &random) == 0 {
          values[row] = (0..<dim).map { _ in .random(in: -1...1, using: &random) }
        }
        if step % 10 == 0 {
          let dense = (0..<rows).flatMap { values[$0] ?? [] }
          try optimizer.step(dense: dense.span)
        } else {
          try optimizer.step(sparseGradient(rows: rows, dim: dim, values))
        }
        let stepping =
          c.rule.untouched == .stepped ? Array(0..<rows) : Array(values.keys)
        reference.step(
          rate: c.rule.learningRate.rate(at: step), rows: stepping.filter { $0 != 3 },
          gradient: values.mapValues { $0.map(Double.init) })
      }
      #expect(optimizer.stepCount == 40)
      let (distance, row) = greatestDistance(elements(table), reference.parameters, dim: dim)
      #expect(distance < 2e-5, "\(c), seed \(seed), row \(row)")
      #expect(Array(elements(table)[3 * dim..<4 * dim]) == Array(before[3 * dim..<4 * dim]))
    }
  }

  @Test(arguments: UpdateRule.names, UntouchedRows.allCases)
  func onlyTrainableRowsMove(_ name: String, _ untouched: UntouchedRows) throws {
    if untouched == .caughtUp, name != "adamw" { return }
    let (rows, dim) = (30, 19)
    let rule = try UpdateRule.named(
      name, learningRate: .constant(0.1), numbers: UpdateNumbers(weightDecay: 0.1),
      untouched: untouched)
    for trainable in [TrainableRows.range(20..<30), .rows([28, 4, 5, 28])] {
      let moving = trainable == .range(20..<30) ? Set(20..<30) : [4, 5, 28]
      let whole = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 2)
      let part = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 2)
      let before = elements(part)
      let all = try TableOptimizer(rule, for: whole, frozenRow: 28)
      let some = try TableOptimizer(rule, for: part, trainable: trainable, frozenRow: 28)
      if name != "sgd", name != "row-wise-adagrad" {
        #expect(some.memoryBytes < all.memoryBytes)
      }
      var random = SeededGenerator(seed: 4)
      for step in 0..<6 {
        let values = (0..<rows).filter { $0 % 3 == step % 3 }.map { row in
          (row, (0..<dim).map { _ in Float.random(in: -1...1, using: &random) })
        }
        let listed = Dictionary(uniqueKeysWithValues: values)
        // As from a tied head, a dense gradient reaches every row.
        let dense = random.floats(rows * dim)
        for optimizer in [all, some] {
          try optimizer.step(sparseGradient(rows: rows, dim: dim, listed))
          try optimizer.step(dense: dense.span)
        }
      }
      for optimizer in [all, some] { try optimizer.synchronise() }
      let (expected, actual) = (elements(whole), elements(part))
      for row in 0..<rows {
        let range = row * dim..<(row + 1) * dim
        if moving.contains(row), row != 28 {
          expectSameBits(Array(actual[range]), Array(expected[range]), "\(name), row \(row)")
          #expect(Array(actual[range]) != Array(before[range]), "\(name), row \(row)")
        } else {
          expectSameBits(Array(actual[range]), Array(before[range]), "\(name), frozen row \(row)")
        }
      }
    }
  }
}
