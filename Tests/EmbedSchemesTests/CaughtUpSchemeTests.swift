// Schemes whose bias is a product with rows of a table read the values of dense AdamW, whatever rows an
// exact-lazy optimiser has left behind.

import EmbedKernel
import EmbedSchemes
import TestSupport
import Testing

@Suite struct CaughtUpSchemeTests {
  private static let heads = 2
  private static let headDim = 4
  private static let shape = AttentionShape(batch: 1, heads: heads, queries: 5, keys: 5)

  enum Scheme: String, CaseIterable, Sendable {
    case shawKeys, shawValues, contentRelative, disentangledKeys, disentangledQueries
    case transformerXL

    /// The sizes of the table that is stepped.
    var sizes: (rows: Int, dim: Int) {
      switch self {
      case .shawKeys, .shawValues: (7, headDim)
      case .contentRelative: (5, headDim)
      case .disentangledKeys, .disentangledQueries: (6, heads * headDim)
      case .transformerXL: (heads * headDim, 6)
      }
    }

    /// What the scheme makes of a table.
    func output(_ table: EmbeddingTable<Float>) throws -> [Float] {
      let (queries, keys) = (drawn(shapeCount, seed: 1), drawn(shapeCount, seed: 2))
      var result = [Float](repeating: 0, count: self == .shawValues ? shapeCount : logitCount)
      if self == .shawValues {
        let values = try ShawValues(clip: 3, table: table)
        let weights = drawn(logitCount, seed: 3)
        var workspace = try BiasWorkspace()
        var output = result.mutableSpan
        try Kernels.auto.addRelativeValues(
          values, weights: weights.span, to: &output, shape: shape, workspace: &workspace)
      } else {
        let bias = try bias(table)
        var logits = result.mutableSpan
        try Kernels.auto.addBias(
          bias, queryVectors: queries.span, keyVectors: keys.span, to: &logits, shape: shape)
      }
      return result
    }

    private func bias(_ table: EmbeddingTable<Float>) throws -> any AttentionBias {
      switch self {
      case .shawKeys, .shawValues: return try ShawKeys(clip: 3, table: table)
      case .contentRelative: return ContentRelativeBias(bank: table)
      case .disentangledKeys:
        return try DisentangledBias(heads: heads, span: 3, keyTable: table, queryTable: nil)
      case .disentangledQueries:
        return try DisentangledBias(heads: heads, span: 3, keyTable: nil, queryTable: table)
      case .transformerXL:
        let vectors = try EmbeddingTable<Float>(
          rows: heads, dim: headDim, .normal(sigma: 1), seed: 9)
        return try TransformerXLBias(
          contentBias: vectors, positionBias: vectors, projection: table)
      }
    }

    private var shape: AttentionShape { CaughtUpSchemeTests.shape }
    private var heads: Int { CaughtUpSchemeTests.heads }
    private var headDim: Int { CaughtUpSchemeTests.headDim }
    private var shapeCount: Int { 5 * heads * headDim }
    private var logitCount: Int { 5 * 5 * heads }
  }

  @Test(arguments: Scheme.allCases)
  func productsReadRowsThatAreUpToDate(_ scheme: Scheme) throws {
    let (rows, dim) = scheme.sizes
    func step(_ untouched: UntouchedRows) throws -> (EmbeddingTable<Float>, TableOptimizer) {
      let table = try EmbeddingTable<Float>(rows: rows, dim: dim, .normal(sigma: 1), seed: 5)
      let optimizer = try TableOptimizer(
        .adamW(learningRate: .constant(0.1), weightDecay: 0.1, untouched: untouched), for: table)
      // Every row but the first misses steps.
      for row in [1, 2, 3, 0, 0, 0] {
        var groups = try RowGroups()
        try groups.group([Int32(row)], context: 1, vocabulary: rows)
        try optimizer.step(outputGradient: (0..<dim).map { Float($0) - 1.5 }, groups: groups)
      }
      return (table, optimizer)
    }
    let (lazy, optimizer) = try step(.caughtUp)
    let (expected, _) = try step(.stepped)
    let (behind, _) = try step(.left)
    let (actual, right) = try (scheme.output(lazy), scheme.output(expected))
    let wrong = try scheme.output(behind)
    let distance = { (other: [Float]) in zip(other, right).map { abs($0 - $1) }.max() ?? 0 }
    #expect(distance(actual) < 1e-4, "\(scheme)")
    // The check can fail: rows that are left where they were give something else.
    #expect(distance(wrong) > 1e-2, "\(scheme)")
    withExtendedLifetime(optimizer) {}
  }
}
