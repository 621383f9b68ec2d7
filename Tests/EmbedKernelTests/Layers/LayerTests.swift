// The layers: what their options do, what they keep, and how tables grow.

import EmbedKernel
import EmbedResizing
import TestSupport
import Testing

@Suite struct LayerTests {
  @Test func paddingRowStaysZero() throws {
    let layer = try TokenEmbedding(vocabulary: 20, dim: 8, paddingID: 3, seed: 1)
    #expect(rows(layer.table)[3] == [Float](repeating: 0, count: 8))
    try layer.initialize(.uniform(low: 1, high: 2), seed: 5)
    #expect(rows(layer.table)[3] == [Float](repeating: 0, count: 8))
    #expect(rows(layer.table)[4].allSatisfy { $0 >= 1 })
    for paddingID in [-1, 20] {
      #expect(
        throws: EmbedError.invalidSize(
          argument: "padding id", value: paddingID, expected: "an id of 0...19")
      ) { try TokenEmbedding(vocabulary: 20, dim: 8, paddingID: paddingID) }
    }
  }

  @Test func tokenLayerGathersRows() throws {
    let layer = try TokenEmbedding(vocabulary: 9, dim: 5, seed: 2)
    var output = try AlignedBuffer<Float>(count: 15)
    var span = output.mutableSpan
    let ids: [Int32] = [8, 0, 8]
    try layer.forward(ids.span, batch: 1, context: 3, into: &span)
    let table = rows(layer.table)
    #expect(output.elements == table[8] + table[0] + table[8])
  }

  @Test(arguments: [1, 2, 17, 64, 768])
  func scaleIsTheRootOfTheDim(dim: Int) throws {
    let layer = try InputEmbedding(vocabulary: 3, dim: dim, scale: .sqrtDim, seed: 1)
    var output = try layer.makeOutput(batch: 1, context: 1)
    try layer.forward([2] as [Int32], batch: 1, context: 1, into: &output)
    let root = Float(Double(dim).squareRoot())
    #expect(output.elements == rows(layer.tokens.table)[2].map { $0 * root })
  }

  /// The point of positions: the same words in another order give the same vectors before they are
  /// added, and others after.
  @Test func positionsTellOrdersApart() throws {
    let schemes: [AbsolutePositions] = [
      .none, .learned(maximum: 8), .sinusoidal(maximum: 8),
      .sinusoidal(maximum: 8, layout: .concatenated),
      .sinusoidal(maximum: 8, layout: .tensor2tensor),
    ]
    for scheme in schemes {
      let layer = try InputEmbedding(vocabulary: 50, dim: 16, positions: scheme, seed: 3)
      func embed(_ ids: [Int32]) throws -> [Float] {
        var output = try layer.makeOutput(batch: 1, context: ids.count)
        try layer.forward(ids, batch: 1, context: ids.count, into: &output)
        return output.elements
      }
      let (a, b) = (try embed([10, 20, 30]), try embed([30, 10, 20]))
      let same = a[0..<16].elementsEqual(b[16..<32])
      #expect(same == (scheme.name == "none"), "\(scheme.name)")
      #expect(layer.positionsAreTrained == (scheme.name == "learned"))
      #expect(layer.maximumContext == (scheme.name == "none" ? nil : 8))
    }
  }

  @Test func decodingContinuesAContext() throws {
    let layer = try InputEmbedding(
      vocabulary: 50, dim: 12, positions: .learned(maximum: 6), seed: 3)
    let ids: [Int64] = [4, 8, 15, 16, 23, 42]
    var whole = try layer.makeOutput(batch: 1, context: 6)
    try layer.forward(ids, batch: 1, context: 6, into: &whole)
    var one = try layer.makeOutput(batch: 1, context: 1)
    for (offset, id) in ids.enumerated() {
      try layer.forward(
        [id], batch: 1, context: 1, at: .sequential(offset: offset), into: &one)
      #expect(one.elements == Array(whole.elements[offset * 12..<(offset + 1) * 12]))
    }
  }

  @Test func oneSeedGivesTablesOfTheirOwn() throws {
    let layer = try InputEmbedding(
      vocabulary: 8, dim: 16, positions: .learned(maximum: 8), seed: 11)
    let again = try InputEmbedding(
      vocabulary: 8, dim: 16, positions: .learned(maximum: 8), seed: 11)
    let positions = try #require(layer.positions)
    #expect(rows(layer.tokens.table) != rows(positions))
    #expect(rows(layer.tokens.table) == rows(again.tokens.table))
  }

  @Test func tablesOfOtherDimsAreRefused() throws {
    let tokens = try TokenEmbedding(vocabulary: 4, dim: 8)
    let positions = try EmbeddingTable<Float>(rows: 4, dim: 6)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the position table", value: 6, expected: "the token table's, 8")
    ) { try InputEmbedding(tokens: tokens, positions: positions) }
    #expect(throws: EmbedError.self) {
      try InputEmbedding(vocabulary: 4, dim: 4, positions: .sinusoidal(maximum: 4, base: .nan))
    }
    #expect(throws: EmbedError.sizeOverflow(argument: "table", factors: [.max, 2, 1])) {
      try EmbeddingTable<Float>(rows: .max, dim: 2)
    }
  }

  @Test func interpolationKeepsEndsAndHalvesSteps() throws {
    let values: [Float] = [0, 10, 2, 20, 6, 40]
    let table = try EmbeddingTable<Float>(rows: 3, dim: 2, copying: values.span)
    #expect(
      rows(try table.interpolated(rows: 5)) == [[0, 10], [1, 15], [2, 20], [4, 30], [6, 40]])
    #expect(rows(try table.interpolated(rows: 3)) == [[0, 10], [2, 20], [6, 40]])
    #expect(rows(try table.interpolated(rows: 1)) == [[0, 10]])
    let single: [Float] = [7, 8]
    let one = try EmbeddingTable<Float>(rows: 1, dim: 2, copying: single.span)
    #expect(rows(try one.interpolated(rows: 2)) == [[7, 8], [7, 8]])
  }

  @Test func aTableOwnsAlignedMemory() throws {
    for (rows, dim) in [(1, 1), (3, 7), (70_000, 8)] {
      let table = try EmbeddingTable<Float>(rows: rows, dim: dim)
      let address = unsafe UInt(bitPattern: table.unsafeBuffer.baseAddress)
      #expect(address % (rows * dim * 4 >= 2 << 20 ? 2 << 20 : 64) == 0)
      #expect(unsafe table.unsafeBuffer.allSatisfy { $0 == 0 })
      table.withMutableSpan { $0[rows * dim - 1] = 5 }
      let last = table[rows - 1]
      let value = last[dim - 1]
      #expect(value == 5)
    }
  }

  @Test func resizingKeepsOldRows() throws {
    let layer = try TokenEmbedding(vocabulary: 6, dim: 4, paddingID: 1, seed: 9)
    let smaller = try layer.resized(vocabulary: 3)
    #expect(rows(smaller.table) == Array(rows(layer.table)[0..<3]))
    #expect(throws: EmbedError.self) { try layer.resized(vocabulary: 1) }
    for newRows in [NewRows.mean, .meanAndCovariance(), .drawn(.normal(sigma: 1))] {
      let larger = try layer.resized(vocabulary: 9, newRows: newRows, seed: 2)
      #expect(Array(rows(larger.table)[0..<6]) == rows(layer.table))
      #expect(larger.paddingID == 1)
    }
    let mean = try layer.resized(vocabulary: 8, newRows: .mean)
    let kept = rows(layer.table).enumerated().filter { $0.offset != 1 }.map(\.element)
    let newest = rows(mean.table)[7]
    for i in 0..<4 {
      let expected = kept.reduce(0.0) { $0 + Double($1[i]) } / 5
      #expect(newest[i] == Float(expected))
    }
  }

  /// 40,000 rows drawn with the old rows' whole covariance have its moments, to five standard
  /// errors; the old rows lie in a plane of three dims, where a plain Cholesky factor fails.
  @Test func newRowsHaveTheOldRowsMoments() throws {
    var random = SeededGenerator(seed: 4)
    let old = (0..<200).flatMap { _ -> [Float] in
      let (a, b) = (
        Float.random(in: -1...1, using: &random), Float.random(in: -1...1, using: &random)
      )
      return [a + 1, 2 * b, a + b]
    }
    let table = try EmbeddingTable<Float>(rows: 200, dim: 3, copying: old.span)
    let layer = try TokenEmbedding(table: table)
    let count = 40_000
    let drawn = Array(
      rows(
        try layer.resized(
          vocabulary: 200 + count, newRows: .meanAndCovariance(scale: 1), seed: 8
        ).table)[200...])
    let source = rows(layer.table)
    func mean(_ rows: [[Float]], _ i: Int) -> Double {
      rows.reduce(0.0) { $0 + Double($1[i]) } / Double(rows.count)
    }
    func covariance(_ rows: [[Float]], _ i: Int, _ j: Int) -> Double {
      let (a, b) = (mean(rows, i), mean(rows, j))
      return rows.reduce(0.0) { $0 + (Double($1[i]) - a) * (Double($1[j]) - b) }
        / Double(rows.count)
    }
    for i in 0..<3 {
      let variance = covariance(source, i, i)
      let bound = 5 * (variance / Double(count)).squareRoot()
      #expect(abs(mean(drawn, i) - mean(source, i)) < bound)
      for j in 0..<3 {
        // The variance of a normal sample's covariance: (s_ii s_jj + s_ij^2) / n.
        let exact = covariance(source, i, j)
        let spread = ((variance * covariance(source, j, j) + exact * exact) / Double(count))
          .squareRoot()
        #expect(abs(covariance(drawn, i, j) - exact) < 5 * spread)
      }
    }
    #expect(drawn.allSatisfy { abs($0[0] - 1 + $0[1] / 2 - $0[2]) < 1e-4 })
  }

  private func rows(_ table: EmbeddingTable<Float>) -> [[Float]] {
    (0..<table.rows).map { row in
      let values = table[row]
      return (0..<table.dim).map { values[$0] }
    }
  }
}
