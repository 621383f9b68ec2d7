// The fused layer's backward to its tables: against central differences, against the two calls that it
// is made of, and its errors.

import EmbedKernel
import TestSupport
import Testing

@Suite struct FusedTablesTests {
  private let batch = 2
  private let context = 4
  private let ids: [Int32] = [0, 3, 3, 5, 1, 2, 3, 0]
  private let segmentIDs: [Int32] = [0, 0, 1, 1, 1, 0, 0, 1]

  private func table(_ rows: Int, _ dim: Int, _ seed: UInt64) throws -> EmbeddingTable<Float> {
    try EmbeddingTable<Float>(rows: rows, dim: dim, .uniform(low: -1, high: 1), seed: seed)
  }

  private func makeLayer(
    dim: Int, normalization: Normalization?, paddingID: Int? = nil, positions: Bool = true
  ) throws -> FusedInputEmbedding<Float> {
    try FusedInputEmbedding(
      InputEmbedding(
        tokens: TokenEmbedding(table: table(6, dim, 1), paddingID: paddingID),
        positions: positions ? table(4, dim, 2) : nil, scale: .sqrtDim),
      segments: table(2, dim, 3), normalization: normalization,
      dropout: Dropout(rate: 0.25, seed: 9))
  }

  private func draw(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
  }

  /// The loss sum(w * output), moved by every element of every table.
  @Test(arguments: ["layer", "rms", "none"])
  func gradientsAgreeWithCentralDifferences(kind: String) throws {
    let dim = 5
    let normalization: Normalization? =
      switch kind {
      case "layer": try .layer(dim: dim)
      case "rms": try .rootMeanSquare(dim: dim)
      default: nil
      }
    let layer = try makeLayer(dim: dim, normalization: normalization)
    let weights = draw(ids.count * dim, seed: 4)
    var gradient = try FusedEmbeddingGradient(for: layer)
    var tables = try layer.makeTableGradient()
    try layer.backward(
      weights.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: batch, context: context,
      trainingStep: 2, into: &gradient, tables: &tables)
    func loss() throws -> Double {
      var output = try layer.makeOutput(batch: batch, context: context)
      try layer.forward(
        ids, segmentIDs: segmentIDs, batch: batch, context: context, trainingStep: 2,
        into: &output)
      let values = unsafe Array(output.unsafeBuffer)
      return zip(weights, values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    func check(_ table: EmbeddingTable<Float>, _ analytic: [Float], _ name: String) throws {
      #expect(analytic.count == table.rows * table.dim)
      for i in 0..<analytic.count {
        let value = unsafe table.unsafeBuffer[i]
        let h: Float = 0x1p-9
        unsafe table.unsafeBuffer[i] = value + h
        let up = try loss()
        unsafe table.unsafeBuffer[i] = value - h
        let down = try loss()
        unsafe table.unsafeBuffer[i] = value
        let numeric = (up - down) / Double(2 * h)
        #expect(
          abs(Double(analytic[i]) - numeric) <= 1e-2 * max(1, abs(numeric)),
          "\(name)[\(i)]: \(analytic[i]) instead of \(numeric)")
      }
    }
    try check(layer.embedding.tokens.table, dense(tables.tokens), "tokens")
    if let positions = layer.embedding.positions {
      try check(positions, dense(tables.positions), "positions")
    }
    if let segments = layer.segments { try check(segments, floats(gradient.segments), "segments") }
    if let gamma = layer.normalization?.gamma { try check(gamma, floats(gradient.gamma), "gamma") }
    if let beta = layer.normalization?.beta { try check(beta, floats(gradient.beta), "beta") }
  }

  @Test(arguments: Backend.allCases, [1, 3])
  func itIsTheTwoCalls(backend: Backend, threads: Int) throws {
    let kernels = Kernels(backend: backend, threads: threads)
    let layer = try makeLayer(dim: 70, normalization: .layer(dim: 70), paddingID: 3)
    let weights = draw(ids.count * 70, seed: 5)
    var first = try FusedEmbeddingGradient(for: layer)
    var second = try FusedEmbeddingGradient(for: layer)
    var chained = try layer.makeTableGradient()
    var apart = try layer.makeTableGradient()
    try layer.backward(
      weights.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: batch, context: context,
      trainingStep: 1, into: &first, tables: &chained, frequencyScaling: .inverse,
      summation: .pairwise, using: kernels)
    try layer.backward(
      weights.span, ids: ids.span, segmentIDs: segmentIDs.span, batch: batch, context: context,
      trainingStep: 1, into: &second, using: kernels)
    let rows = floats(second.rows)
    try layer.embedding.backward(
      rows.span, ids: ids.span, batch: batch, context: context, into: &apart,
      frequencyScaling: .inverse, summation: .pairwise, using: kernels)
    expectSameBits(floats(first), floats(second), "parameters")
    let tokens = dense(chained.tokens)
    expectSameBits(tokens, dense(apart.tokens), "tokens")
    expectSameBits(dense(chained.positions), dense(apart.positions), "positions")
    #expect(tokens[3 * 70..<4 * 70].allSatisfy { $0 == 0 }, "padding row")
  }

  @Test func gradientsOfOtherTablesAreRefused() throws {
    let layer = try makeLayer(dim: 4, normalization: .layer(dim: 4))
    let weights = draw(ids.count * 4, seed: 6)
    func error(_ tables: consuming InputGradient) throws -> EmbedError? {
      var tables = tables
      var gradient = try FusedEmbeddingGradient(for: layer)
      var thrown: EmbedError?
      do throws(EmbedError) {
        try layer.backward(
          weights.span, ids: ids.span, batch: batch, context: context, into: &gradient,
          tables: &tables)
      } catch { thrown = error }
      let untouched = gradient.count == 0 && floats(gradient.gamma).allSatisfy { $0 == 0 }
      #expect(untouched)
      return thrown
    }
    #expect(
      try error(InputGradient(vocabulary: 7, maximumContext: 4, dim: 4))
        == .invalidSize(argument: "rows of the token gradient", value: 7, expected: "6"))
    #expect(
      try error(InputGradient(vocabulary: 6, maximumContext: 5, dim: 4))
        == .invalidSize(argument: "rows of the position gradient", value: 5, expected: "4"))
    #expect(
      try error(InputGradient(vocabulary: 6, maximumContext: 4, dim: 3))
        == .invalidSize(
          argument: "dim of the token gradient", value: 3, expected: "the output's, 4"))
  }

  /// A row-sparse gradient as a whole table's.
  private func dense(_ gradient: borrowing RowSparseGradient) -> [Float] {
    var all = [Float](repeating: 0, count: gradient.rows * gradient.dim)
    for k in 0..<gradient.count {
      for i in 0..<gradient.dim {
        all[Int(gradient.rowIDs[k]) * gradient.dim + i] = gradient.values[k * gradient.dim + i]
      }
    }
    return all
  }

  /// A row that exact-lazy AdamW left behind stays so where an id outside the table reads none.
  @Test func idsThatReadNoRowBringNoneUp() throws {
    for unknownIDs in [UnknownIDs.zeroRow, .clamp] {
      let tokens = try EmbeddingTable<Float>(rows: 3, dim: 20, .normal(sigma: 1), seed: 1)
      let optimizer = try TableOptimizer(
        .adamW(learningRate: .constant(0.1), untouched: .caughtUp), for: tokens)
      try optimizer.step(dense: (0..<60).map { Float($0) - 30 })
      var groups = try RowGroups()
      try groups.group([0 as Int32], context: 1, vocabulary: 3)
      for _ in 0..<3 {
        try optimizer.step(outputGradient: [Float](repeating: 1, count: 20), groups: groups)
      }
      let behind = unsafe Array(tokens.memory)
      let layer = try FusedInputEmbedding(
        tokens: tokens, positions: nil, options: EmbedOptions(unknownIDs: unknownIDs))
      var output = [Float](repeating: 0, count: 20)
      try layer.forward([3 as Int32], batch: 1, context: 1, into: &output)
      let changed = unsafe Array(tokens.memory)[40...] != behind[40...]
      #expect(changed == (unknownIDs == .clamp))
      #expect(unsafe Array(tokens.memory)[..<40] == behind[..<40])
    }
  }
}
