// Gradients of bags against plain loops, bit for bit, in every way of computing them; and each
// optimiser's fused step against the step by the gradient written out.

import EmbedKernel
import EmbedRows
import ReferenceKernels
import TestSupport
import Testing

@Suite struct BagBackwardTests {
  /// Where the winners of a maximum are; nil for other pools.
  private func winners(_ c: BagCase, _ pool: BagPool) -> [Int32]? {
    pool == .max ? c.expected(.max).winners : nil
  }

  private func order(_ summation: Summation) -> ReferenceOrder {
    switch summation {
    case .chunked: .tree(leaf: 64)
    case .pairwise: .tree(leaf: 8)
    case .compensated: .compensated
    }
  }

  private func expected(
    _ c: BagCase, _ pool: BagPool, weights: [Float]? = nil, _ summation: Summation = .chunked,
    scale: @escaping (Int) -> Float = { _ in 1 }
  ) -> [Float] {
    Reference.bagBackward(
      c.reads, lengths: c.lengths, weights: weights, winners: winners(c, pool),
      outputGradient: c.outputGradient, rows: c.vocabulary, dim: c.dim, pool: pool.reference,
      order: order(summation), scale: scale)
  }

  private func dense(
    _ c: BagCase, _ pool: BagPool, weights: [Float]? = nil, summed summation: Summation = .chunked,
    scale: Float = 1, scaling: FrequencyScaling = .none, by kernels: Kernels,
    _ workspace: inout BagWorkspace
  ) throws -> [Float] {
    var gradient = [Float](repeating: .nan, count: c.vocabulary * c.dim)
    let (ids, offsets, won) = (c.ids, c.offsets, winners(c, pool))
    try kernels.bagBackward(
      c.outputGradient, ids: ids, in: .offsets(offsets), weights: weights, winners: won,
      rows: c.vocabulary, dim: c.dim, pool: pool, options: c.options, gradientScale: scale,
      frequencyScaling: scaling, summation: summation, tokens: .dense(&gradient, .overwrite),
      workspace: &workspace)
    return gradient
  }

  @Test(arguments: BagCase.all, BagPool.allCases)
  func bitsAreThoseOfPlainLoops(_ c: BagCase, pool: BagPool) throws {
    var workspace = try BagWorkspace()
    let expected = expected(c, pool)
    for (name, kernels) in everyWay() {
      let gradient = try dense(c, pool, by: kernels, &workspace)
      #expect(sameBits(gradient, expected), "\(name)")
    }
  }

  @Test(arguments: BagCase.all, Summation.allCases)
  func weightsMultiplyBeforeTheSum(_ c: BagCase, summation: Summation) throws {
    var workspace = try BagWorkspace()
    let expected = expected(c, .sum, weights: c.weights, summation)
    for (name, kernels) in everyWay() {
      let gradient = try dense(
        c, .sum, weights: c.weights, summed: summation, by: kernels, &workspace)
      #expect(sameBits(gradient, expected), "\(name)")
    }
  }

  @Test(arguments: BagCase.all, [BagPool.sum, .mean])
  func frequencyIsCountedOverTheCall(_ c: BagCase, pool: BagPool) throws {
    var workspace = try BagWorkspace()
    let expected = expected(c, pool) { 0.5 / Float($0) }
    for (name, kernels) in everyWay() {
      let gradient = try dense(
        c, pool, scale: 0.5, scaling: .inverse, by: kernels, &workspace)
      #expect(sameBits(gradient, expected), "\(name)")
    }
  }

  @Test(arguments: BagCase.all, BagPool.allCases)
  func targetsAreAlike(_ c: BagCase, pool: BagPool) throws {
    var workspace = try BagWorkspace()
    let expected = expected(c, pool)
    let (ids, lengths, won) = (c.ids.map(Int32.init), c.lengths, winners(c, pool))
    var sparse = try RowSparseGradient(rows: c.vocabulary, dim: c.dim)
    try Kernels.auto.bagBackward(
      c.outputGradient, ids: ids, in: .lengths(lengths), winners: won, rows: c.vocabulary,
      dim: c.dim, pool: pool, options: c.options, tokens: .rowSparse(&sparse),
      workspace: &workspace)
    var spread = [Float](repeating: 0, count: expected.count)
    for k in 0..<sparse.count {
      for i in 0..<c.dim {
        spread[Int(sparse.rowIDs[k]) * c.dim + i] = sparse.values[k * c.dim + i]
      }
    }
    #expect(sameBits(spread, expected))
    let start = c.table
    var sum = start
    try Kernels.auto.bagBackward(
      c.outputGradient, ids: ids, in: .lengths(lengths), winners: won, rows: c.vocabulary,
      dim: c.dim, pool: pool, options: c.options, tokens: .dense(&sum, .accumulate),
      workspace: &workspace)
    let rows = Set((0..<sparse.count).map { Int(sparse.rowIDs[$0]) })
    for at in 0..<sum.count {
      let value = rows.contains(at / c.dim) ? start[at] + expected[at] : start[at]
      #expect(sum[at].bitPattern == value.bitPattern)
    }
  }

  @Test(arguments: BagCase.all)
  func weightsGetInnerProducts(_ c: BagCase) throws {
    let expected = Reference.bagWeightGradient(
      c.reads, lengths: c.lengths, outputGradient: c.outputGradient, table: c.table, dim: c.dim)
    let table = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.table.span)
    let ids = c.ids
    for layout in BagLayout.allCases where c.has(layout) {
      for (name, kernels) in everyWay() {
        var gradient = [Float](repeating: .nan, count: c.count)
        try c.with(layout) { bags in
          try kernels.bagWeightGradient(
            c.outputGradient, ids: ids, in: bags, tokens: table, options: c.options,
            into: &gradient)
        }
        #expect(sameBits(gradient, expected), "\(name) \(layout)")
      }
    }
  }
}

@Suite struct BagStepTests {
  private static let rules = UpdateRule.names
  private static let cases = [
    BagCase(name: "ragged", lengths: BagCase.ragged, dim: 33),
    BagCase(name: "heavy rows", lengths: [150, 3, 200], dim: 130, vocabulary: 3),
    BagCase(name: "padding", lengths: BagCase.ragged, dim: 70, vocabulary: 4, paddingID: 2),
    BagCase(name: "none", lengths: [0, 0], dim: 4),
  ]

  @Test(arguments: rules.inDebug(every: 3), cases)
  func fusedStepsAreTheStepsByTheGradient(_ rule: String, c: BagCase) throws {
    for (pool, weights, scaling) in [
      (BagPool.sum, nil as [Float]?, FrequencyScaling.none), (.sum, c.weights, .none),
      (.mean, nil, .none), (.max, nil, .none), (.mean, nil, .inverse), (.sum, c.weights, .inverse),
    ] {
      let expected = try table(rule, c, pool, weights, scaling, fused: false, .auto)
      for (name, kernels) in everyWay() where kernels.backend == .native {
        let stepped = try table(rule, c, pool, weights, scaling, fused: true, kernels)
        #expect(sameBits(stepped, expected), "\(name) \(pool) \(scaling)")
      }
      let stepped = try table(
        rule, c, pool, weights, scaling, fused: true, .openBLAS.threads(2))
      #expect(sameBits(stepped, expected), "\(pool) \(scaling)")
    }
  }

  /// The table after three steps of an optimiser.
  private func table(
    _ rule: String, _ c: BagCase, _ pool: BagPool, _ weights: [Float]?,
    _ scaling: FrequencyScaling, fused: Bool, _ kernels: Kernels
  ) throws -> [Float] {
    let table = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.table.span)
    let optimizer = try TableOptimizer(
      .named(rule, learningRate: .constant(0.1)), for: table, frozenRow: c.paddingID)
    var workspace = try BagWorkspace()
    var gradient = try RowSparseGradient(rows: c.vocabulary, dim: c.dim)
    for step in 0..<3 {
      var batch = c
      batch.seed += UInt64(step)
      let (ids, lengths) = (batch.ids, batch.lengths)
      let won = pool == .max ? batch.expected(.max).winners : nil
      if fused {
        try optimizer.step(
          bagGradient: batch.outputGradient, ids: ids, in: .lengths(lengths), weights: weights,
          winners: won, pool: pool, options: c.options, frequencyScaling: scaling, using: kernels,
          workspace: &workspace)
      } else {
        try kernels.bagBackward(
          batch.outputGradient, ids: ids, in: .lengths(lengths), weights: weights, winners: won,
          rows: c.vocabulary, dim: c.dim, pool: pool, options: c.options,
          frequencyScaling: scaling, tokens: .rowSparse(&gradient), workspace: &workspace)
        try optimizer.step(gradient, using: kernels)
      }
    }
    return unsafe Array(table.unsafeBuffer)
  }

  @Test func rowsThatABagReadsAreBroughtUpToDate() throws {
    let c = BagCase(name: "ragged", lengths: BagCase.ragged, dim: 33)
    let (ids, offsets) = (c.ids, c.offsets)
    func make() throws -> (EmbeddingTable<Float>, TableOptimizer) {
      let table = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.table.span)
      let rule = try UpdateRule.adamW(learningRate: .constant(0.1), untouched: .caughtUp)
      return (table, try TableOptimizer(rule, for: table))
    }
    let ((table, optimizer), (twin, twinOptimizer)) = (try make(), try make())
    var workspace = try BagWorkspace()
    var before: [Float] = []
    for step in 0..<4 {
      // Few rows step; the bags then read others, too, and so does whoever names the rows.
      let few = [step, step + 1, 20], one = [Float](repeating: 1, count: c.dim)
      for optimizer in [optimizer, twinOptimizer] {
        try optimizer.step(
          bagGradient: one, ids: few, in: .rectangle(batch: 1, bag: 3), pool: .sum,
          workspace: &workspace)
      }
      var output = [Float](repeating: 0, count: c.lengths.count * c.dim)
      var ofWeights = [Float](repeating: 0, count: c.count)
      if step % 2 == 0 {
        try Kernels.auto.bag(
          ids: ids, in: .offsets(offsets), tokens: table, pool: .mean, into: &output)
        try Kernels.auto.bagWeightGradient(
          c.outputGradient, ids: ids, in: .offsets(offsets), tokens: table, into: &ofWeights)
      } else {
        try Kernels.auto.bagWeightGradient(
          c.outputGradient, ids: ids, in: .offsets(offsets), tokens: table, into: &ofWeights)
        try Kernels.auto.bag(
          ids: ids, in: .offsets(offsets), tokens: table, pool: .mean, into: &output)
      }
      let read = twin.span(of: ids.span)
      let rows = (0..<read.count).map { read[$0] }
      #expect(sameBits(output, c.expected(.mean, table: rows).output))
      let expected = Reference.bagWeightGradient(
        c.reads, lengths: c.lengths, outputGradient: c.outputGradient, table: rows, dim: c.dim)
      #expect(sameBits(ofWeights, expected))
      #expect(!sameBits(output, before))
      before = output
    }
  }
}
