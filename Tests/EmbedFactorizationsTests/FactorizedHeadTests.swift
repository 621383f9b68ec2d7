// The tied head of a factorised table: logits against loops in Double, its three gradients against
// central differences, and its errors.

import EmbedFactorizations
import EmbedKernel
import TestSupport
import Testing

@Suite struct FactorizedHeadTests {
  private func table(_ rows: Int, _ dim: Int, _ seed: UInt64) throws -> EmbeddingTable<Float> {
    try EmbeddingTable<Float>(rows: rows, dim: dim, .uniform(low: -1, high: 1), seed: seed)
  }

  private func draw(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
  }

  private func makeHead(
    _ v: Int, _ r: Int, _ d: Int, scale: Float, paddingID: Int? = nil
  ) throws -> FactorizedTiedProjection {
    let layer = try FactorizedEmbedding(
      FusedInputEmbedding(
        InputEmbedding(
          tokens: TokenEmbedding(table: table(v, r, 1), paddingID: paddingID), positions: nil)),
      projection: FactorProjection(matrix: table(r, d, 2), bias: table(1, d, 3)))
    return try FactorizedTiedProjection(layer, scale: scale)
  }

  /// The logits in Double, and the sum of absolute values of each.
  private func logits(
    _ hidden: [Double], _ matrix: [Double], _ table: [Double], n: Int, r: Int, d: Int,
    scale: Double
  ) -> [(value: Double, magnitude: Double)] {
    let v = table.count / r
    return (0..<n * v).map { at in
      let (row, id) = (at / v, at % v)
      var (value, magnitude) = (0.0, 0.0)
      for k in 0..<r {
        for i in 0..<d {
          let term = scale * hidden[row * d + i] * matrix[k * d + i] * table[id * r + k]
          value += term
          magnitude += abs(term)
        }
      }
      return (value, magnitude)
    }
  }

  @Test(
    arguments: [(0, 5, 2, 3), (1, 1, 1, 1), (3, 7, 4, 9), (17, 40, 16, 33)], [1, 0.25] as [Float])
  func logitsAreTheProducts(
    sizes: (rows: Int, vocabulary: Int, r: Int, dim: Int), scale: Float
  ) throws {
    let (n, v, r, d) = sizes
    let head = try makeHead(v, r, d, scale: scale)
    let hidden = draw(n * d, seed: 4)
    var workspace = try FactorWorkspace()
    var output = [Float](repeating: .nan, count: n * v)
    var span = output.mutableSpan
    try head.logits(hidden.span, rows: n, workspace: &workspace, into: &span)
    let expected = logits(
      hidden.map { Double($0) }, floats(head.projection.matrix).map { Double($0) },
      floats(head.head.tokens.table).map { Double($0) }, n: n, r: r, d: d, scale: Double(scale))
    for i in 0..<n * v {
      // r + d roundings at most on the way to each term.
      let bound = Double(r + d + 4) * 0x1p-24 * expected[i].magnitude
      #expect(abs(Double(output[i]) - expected[i].value) <= bound, "logit \(i)")
    }
  }

  /// The loss sum(w * logits), moved by every element of hidden states, matrix and table.
  @Test(arguments: [nil, 2] as [Int?])
  func gradientsAgreeWithCentralDifferences(paddingID: Int?) throws {
    let (n, v, r, d) = (4, 6, 3, 5)
    let head = try makeHead(v, r, d, scale: 0.5, paddingID: paddingID)
    let (hidden, weights) = (draw(n * d, seed: 5), draw(n * v, seed: 6))
    var workspace = try FactorWorkspace()
    var tableGradient = try TableGradient(for: head.head.tokens.table)
    var factors = try FactorGradient(for: head.projection)
    var hiddenGradient = [Float](repeating: .nan, count: n * d)
    // Twice: what accumulates is double, what is overwritten is not.
    for _ in 0..<2 {
      var span = hiddenGradient.mutableSpan
      try head.backward(
        weights.span, hidden: hidden.span, rows: n, workspace: &workspace, hiddenGradient: &span,
        tableGradient: &tableGradient, factorGradient: &factors)
    }
    let parts = [
      hidden, floats(head.projection.matrix), floats(head.head.tokens.table),
    ].map { $0.map { Double($0) } }
    func loss(_ parts: [[Double]]) -> Double {
      let all = logits(parts[0], parts[1], parts[2], n: n, r: r, d: d, scale: 0.5)
      return zip(weights, all).reduce(0) { $0 + Double($1.0) * $1.1.value }
    }
    let analytic = [hiddenGradient, floats(factors.matrix.values), floats(tableGradient.values)]
    for (part, times) in [1.0, 2, 2].enumerated() {
      for i in 0..<analytic[part].count {
        var (up, down) = (parts, parts)
        up[part][i] += 1e-5
        down[part][i] -= 1e-5
        let isPadding = part == 2 && i / r == paddingID
        let numeric = isPadding ? 0 : (loss(up) - loss(down)) / 2e-5 * times
        #expect(
          abs(Double(analytic[part][i]) - numeric) <= 4e-6 * max(1, abs(numeric)),
          "part \(part), element \(i)")
      }
    }
    #expect(floats(factors.bias.values).allSatisfy { $0 == 0 })
  }

  @Test func faultsAreNamedBeforeAnythingIsWritten() throws {
    let head = try makeHead(4, 2, 3, scale: 1)
    let (hidden, weights) = (draw(6, seed: 7), draw(8, seed: 8))
    var workspace = try FactorWorkspace()
    func logitsError(_ hidden: [Float], rows: Int, room: Int) -> EmbedError? {
      var logits = [Float](repeating: 7, count: room)
      var thrown: EmbedError?
      do throws(EmbedError) {
        var span = logits.mutableSpan
        try head.logits(hidden.span, rows: rows, workspace: &workspace, into: &span)
      } catch { thrown = error }
      #expect(logits.allSatisfy { $0 == 7 })
      return thrown
    }
    #expect(
      logitsError(hidden, rows: 3, room: 12)
        == .wrongElementCount(argument: "hidden", expected: 9, shape: [3, 3], actual: 6))
    #expect(
      logitsError(hidden, rows: 2, room: 7)
        == .wrongElementCount(argument: "logits", expected: 8, shape: [2, 4], actual: 7))
    #expect(
      logitsError(hidden, rows: -1, room: 8)
        == .invalidSize(argument: "rows", value: -1, expected: "0 or more"))

    var other = try FactorGradient(for: FactorProjection(matrix: table(3, 3, 9)))
    var tableGradient = try TableGradient(for: head.head.tokens.table)
    var hiddenGradient = [Float](repeating: 7, count: 6)
    var thrown: EmbedError?
    do throws(EmbedError) {
      var span = hiddenGradient.mutableSpan
      try head.backward(
        weights.span, hidden: hidden.span, rows: 2, workspace: &workspace, hiddenGradient: &span,
        tableGradient: &tableGradient, factorGradient: &other)
    } catch { thrown = error }
    #expect(
      thrown == .invalidSize(argument: "rows of the table gradient", value: 3, expected: "2"))
    #expect(hiddenGradient.allSatisfy { $0 == 7 })
    #expect(floats(tableGradient.values).allSatisfy { $0 == 0 })
  }
}

private func floats(_ table: EmbeddingTable<Float>) -> [Float] { floats(table.span) }

private func floats(_ span: Span<Float>) -> [Float] { span.indices.map { span[$0] } }
