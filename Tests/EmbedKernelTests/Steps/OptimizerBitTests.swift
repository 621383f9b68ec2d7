// Every backend, instruction set and thread count takes the same step, bit for bit, and the forms of
// gradient agree: listed rows, dense, and summed from the output gradient.

import EmbedKernel
import ReferenceKernels
import TestSupport
import Testing

@Suite struct OptimizerBitTests {
  static let rules = try? RuleCase.all(rate: .constant(0.01))

  /// Every way of stepping on this machine.
  static let ways: [Kernels] = {
    #if DEBUG
      // Unoptimised, a way takes minutes over all cases.
      return [Kernels.simd.threads(3), Kernels.native.threads(1), Kernels.native.threads(3)]
    #else
      var kernels = [Kernels.openBLAS, .simd]
      kernels += InstructionSet.allCases.filter(\.isAvailable).map {
        Kernels(backend: .native, instructionSet: $0)
      }
      return kernels.flatMap { [$0.threads(1), $0.threads(3)] }
    #endif
  }()

  @Test func thereAreRules() { #expect(Self.rules?.count == 36) }

  /// Batches of ids with their output gradients, and the sums of these for each row.
  private struct Batches {
    let dim: Int
    let ids: [[Int32]]
    let outputs: [[Float]]
    let sums: [[Int: [Float]]]

    init(_ ids: [[Int32]], dim: Int, seed: UInt64, summed: Bool = true) {
      self.dim = dim
      self.ids = ids
      var random = SeededGenerator(seed: seed)
      outputs = ids.map { random.floats($0.count * dim) }
      sums = zip(ids, outputs).map { ids, output in
        var sums: [Int: [Float]] = [:]
        guard summed else { return sums }
        for (n, id) in ids.enumerated() {
          if sums[Int(id)] == nil {
            sums[Int(id)] = Array(output[n * dim..<(n + 1) * dim])
          } else {
            for i in 0..<dim { sums[Int(id)]?[i] += output[n * dim + i] }
          }
        }
        return sums
      }
    }
  }

  /// A table and its state after steps by batches.
  private func stepped(
    _ rule: UpdateRule, _ batches: Batches, _ kernels: Kernels, fused: Bool, prepared: Bool = false
  ) throws -> (table: [Float], state: [[UInt8]]) {
    let (rows, dim) = (200, batches.dim)
    let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 0.5), seed: 9)
    let optimizer = try TableOptimizer(rule, for: table, frozenRow: 7)
    var groups = try RowGroups()
    for (n, ids) in batches.ids.enumerated() {
      try groups.group(ids.span, context: max(1, ids.count), vocabulary: rows, threads: 1)
      if prepared { try optimizer.prepare(groups, using: kernels) }
      if fused {
        let output = batches.outputs[n]
        try optimizer.step(outputGradient: output.span, groups: groups, scale: 0.5, using: kernels)
      } else {
        let gradient = try sparseGradient(rows: rows, dim: dim, batches.sums[n])
        try optimizer.step(gradient, scale: 0.5, using: kernels)
      }
    }
    var state: [[UInt8]] = []
    optimizer.forEachStateArray { _, bytes in state.append(copied(bytes)) }
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

  @Test(arguments: try #require(rules), [1, 64, 17, 15, 100, 1_030].inDebug(every: 2))
  func allWaysGiveTheSameBits(_ c: RuleCase, dim: Int) throws {
    let batches = Batches(ids(dim > 1_000 ? 20 : 60, seed: UInt64(dim)), dim: dim, seed: 1)
    let expected = try stepped(c.rule, batches, .simd.threads(1), fused: false)
    for kernels in Self.ways {
      for fused in [false, true] {
        let actual = try stepped(c.rule, batches, kernels, fused: fused)
        expectSameBits(actual.table, expected.table, "\(c), dim \(dim), \(kernels), fused \(fused)")
        #expect(actual.state == expected.state, "state of \(c), dim \(dim), \(kernels)")
      }
    }
  }

  @Test(arguments: [1, 17, 100, 1_030])
  func exactLazyStepsGiveTheSameBits(dim: Int) throws {
    let rule = try UpdateRule.adamW(learningRate: .constant(0.01), untouched: .caughtUp)
    let batches = Batches(ids(30, seed: 3), dim: dim, seed: 1)
    for prepared in [false, true] {
      let expected = try stepped(
        rule, batches, .simd.threads(1), fused: false, prepared: prepared)
      for kernels in Self.ways {
        for fused in [false, true] {
          let actual = try stepped(
            rule, batches, kernels, fused: fused, prepared: prepared)
          expectSameBits(
            actual.table, expected.table, "dim \(dim), \(kernels), prepared \(prepared)")
          #expect(actual.state == expected.state, "state, dim \(dim), \(kernels)")
        }
      }
    }
  }

  /// A batch large enough that a hot row is summed by all threads before the step.
  @Test(arguments: ["sgd", "row-wise-adagrad", "adamw"].inDebug(every: 2))
  func heavyRowsDoNotDependOnThreads(_ name: String) throws {
    let rule = try UpdateRule.named(name, learningRate: .constant(0.01), untouched: .left)
    let batches = Batches(ids(6_000, seed: 5), dim: 96, seed: 2, summed: false)
    let expected = try stepped(rule, batches, .simd.threads(1), fused: true)
    for kernels in Self.ways {
      let actual = try stepped(rule, batches, kernels, fused: true)
      expectSameBits(actual.table, expected.table, "\(name), \(kernels)")
      #expect(actual.state == expected.state, "state of \(name), \(kernels)")
    }
    // And the fused step is backward, then the step.
    let table = try EmbeddingTable<Float>(rows: 200, dim: 96, .normal(sigma: 0.5), seed: 9)
    let optimizer = try TableOptimizer(rule, for: table, frozenRow: 7)
    var gradient = try RowSparseGradient(rows: 200, dim: 96)
    var workspace = try BackwardWorkspace()
    for (n, ids) in batches.ids.enumerated() {
      let output = batches.outputs[n]
      try Kernels.auto.backward(
        output.span, ids: ids.span,
        shape: EmbeddingShape(vocabulary: 200, batch: 1, context: ids.count, dim: 96),
        tokens: .rowSparse(&gradient), positions: .none, workspace: &workspace)
      try optimizer.step(gradient, scale: 0.5)
    }
    expectSameBits(elements(table), expected.table, "\(name), backward then step")
  }
}
