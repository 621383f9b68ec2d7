// Every backend, instruction set and thread count takes the same step, bit for bit, and the forms of
// gradient agree: listed rows, dense, and summed from the output gradient.

import EmbedKernel
import ReferenceKernels
import Testing

@Suite struct OptimizerBitTests {
  static let rules = try? RuleCase.all(rate: .constant(0.01))

  /// Every way of stepping on this machine.
  static let ways: [Kernels] = {
    var kernels = [Kernels.openBLAS, .simd]
    kernels += InstructionSet.allCases.filter(\.isAvailable).map {
      Kernels(backend: .native, instructionSet: $0)
    }
    return kernels.flatMap { [$0.threads(1), $0.threads(3)] }
  }()

  @Test func thereAreRules() { #expect(Self.rules?.count == 32) }

  /// A table after four steps by the gradient of an output.
  private func stepped(
    _ rule: UpdateRule, dim: Int, ids: [[Int32]], seed: UInt64, _ kernels: Kernels,
    fused: Bool, prepared: Bool = false
  ) throws -> (table: [Float], state: [[UInt8]]) {
    let rows = 200
    let table = try EmbeddingTable(rows: rows, dim: dim, .normal(sigma: 0.5), seed: 9)
    let optimizer = try TableOptimizer(rule, for: table, frozenRow: 7)
    var random = SeededGenerator(seed: seed)
    var groups = try RowGroups()
    for ids in ids {
      let output = random.floats(ids.count * dim)
      try groups.group(ids.span, context: max(1, ids.count), vocabulary: rows, threads: 1)
      if prepared { try optimizer.prepare(groups, using: kernels) }
      if fused {
        try optimizer.step(outputGradient: output.span, groups: groups, scale: 0.5, using: kernels)
      } else {
        // The same sums, row by row.
        var sums: [Int: [Float]] = [:]
        for (n, id) in ids.enumerated() {
          let row = Array(output[n * dim..<(n + 1) * dim])
          sums[Int(id)] = sums[Int(id)].map { zip($0, row).map { $0 + $1 } } ?? row
        }
        let gradient = try sparseGradient(rows: rows, dim: dim, sums)
        try optimizer.step(gradient, scale: 0.5, using: kernels)
      }
    }
    var state: [[UInt8]] = []
    optimizer.forEachStateArray { _, bytes in
      state.append(copied(bytes))
    }
    return (elements(table), state)
  }

  private func ids(_ count: Int, seed: UInt64) -> [[Int32]] {
    var random = SeededGenerator(seed: seed)
    return (0..<4).map { _ in
      (0..<count).map { _ in
        // A hot row, some warm rows, and any.
        switch Int.random(in: 0..<4, using: &random) {
        case 0: 5
        case 1: .random(in: 0..<12, using: &random)
        default: .random(in: 0..<200, using: &random)
        }
      }
    }
  }

  @Test(arguments: try #require(rules), [1, 15, 17, 64, 100, 1_030])
  func allWaysGiveTheSameBits(_ c: RuleCase, dim: Int) throws {
    let ids = ids(60, seed: UInt64(dim))
    let expected = try stepped(c.rule, dim: dim, ids: ids, seed: 1, .simd.threads(1), fused: false)
    for kernels in Self.ways {
      for fused in [false, true] {
        let actual = try stepped(c.rule, dim: dim, ids: ids, seed: 1, kernels, fused: fused)
        expectSameBits(actual.table, expected.table, "\(c), dim \(dim), \(kernels), fused \(fused)")
        #expect(actual.state == expected.state, "state of \(c), dim \(dim), \(kernels)")
      }
    }
  }

  @Test(arguments: [1, 17, 100, 1_030])
  func exactLazyStepsGiveTheSameBits(dim: Int) throws {
    let rule = try UpdateRule.adamW(learningRate: .constant(0.01), untouched: .caughtUp)
    let ids = ids(30, seed: 3)
    for prepared in [false, true] {
      let expected = try stepped(
        rule, dim: dim, ids: ids, seed: 1, .simd.threads(1), fused: false, prepared: prepared)
      for kernels in Self.ways {
        for fused in [false, true] {
          let actual = try stepped(
            rule, dim: dim, ids: ids, seed: 1, kernels, fused: fused, prepared: prepared)
          expectSameBits(
            actual.table, expected.table, "dim \(dim), \(kernels), prepared \(prepared)")
          #expect(actual.state == expected.state, "state, dim \(dim), \(kernels)")
        }
      }
    }
  }

  /// A batch large enough that a hot row is summed by all threads before the step.
  @Test(arguments: ["sgd", "row-wise-adagrad", "adamw"])
  func heavyRowsDoNotDependOnThreads(_ name: String) throws {
    let rule = try UpdateRule.named(name, learningRate: .constant(0.01), untouched: .left)
    let ids = ids(6_000, seed: 5)
    let expected = try stepped(rule, dim: 96, ids: ids, seed: 2, .simd.threads(1), fused: true)
    for kernels in Self.ways {
      let actual = try stepped(rule, dim: 96, ids: ids, seed: 2, kernels, fused: true)
      expectSameBits(actual.table, expected.table, "\(name), \(kernels)")
      #expect(actual.state == expected.state, "state of \(name), \(kernels)")
    }
    // And the fused step is backward, then the step.
    let table = try EmbeddingTable(rows: 200, dim: 96, .normal(sigma: 0.5), seed: 9)
    let optimizer = try TableOptimizer(rule, for: table, frozenRow: 7)
    var random = SeededGenerator(seed: 2)
    var gradient = try RowSparseGradient(rows: 200, dim: 96)
    var workspace = try BackwardWorkspace()
    for ids in ids {
      let output = random.floats(ids.count * 96)
      try Kernels.auto.backward(
        output.span, ids: ids.span,
        shape: EmbeddingShape(vocabulary: 200, batch: 1, context: ids.count, dim: 96),
        tokens: .rowSparse(&gradient), positions: .none, workspace: &workspace)
      try optimizer.step(gradient, scale: 0.5)
    }
    expectSameBits(elements(table), expected.table, "\(name), backward then step")
  }
}
