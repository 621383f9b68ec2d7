// The tied head and the factorised table: products and gradients against plain loops in Double,
// central differences, and one gradient for a tied table.

import EmbedFactorizations
import EmbedKernel
import TestSupport
import Testing

@Suite struct ProjectionTests {
  /// Each element is a sum of `depth` products: off by (depth + 2) roundings of their absolute
  /// values at most.
  private func expectClose(
    _ actual: Span<Float>, _ expected: [(value: Double, magnitude: Double)], depth: Int,
    _ what: String
  ) {
    #expect(actual.count == expected.count)
    for i in 0..<min(actual.count, expected.count) {
      let bound = Double(depth + 3) * 0x1p-24 * expected[i].magnitude + 1e-30
      #expect(
        abs(Double(actual[i]) - expected[i].value) <= bound,
        "\(what), element \(i): \(actual[i]) instead of \(expected[i].value)")
    }
  }

  /// scale * a * b + c in Double, with the sum of absolute values; a is (m, k), b (k, n).
  private func product(
    _ a: [Float], _ b: [Float], m: Int, k: Int, n: Int, scale: Float = 1, plus c: [Float]? = nil
  ) -> [(value: Double, magnitude: Double)] {
    (0..<m * n).map { at in
      var (value, magnitude) = (Double(c?[at] ?? 0), abs(Double(c?[at] ?? 0)))
      for l in 0..<k {
        let term = Double(scale) * Double(a[at / n * k + l]) * Double(b[l * n + at % n])
        value += term
        magnitude += abs(term)
      }
      return (value, magnitude)
    }
  }

  private func transposed(_ a: [Float], rows: Int, columns: Int) -> [Float] {
    (0..<rows * columns).map { a[$0 % rows * columns + $0 / rows] }
  }

  private func table(_ rows: Int, _ dim: Int, seed: UInt64) throws -> EmbeddingTable<Float> {
    try EmbeddingTable<Float>(rows: rows, dim: dim, .uniform(low: -1, high: 1), seed: seed)
  }

  private func draw(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
  }

  @Test(
    arguments: [(0, 5, 3), (1, 1, 1), (3, 7, 5), (17, 40, 33), (64, 300, 96)], [1, 0.25] as [Float])
  func tiedLogitsAndGradientsAreTheProducts(
    sizes: (rows: Int, vocabulary: Int, dim: Int), scale: Float
  ) throws {
    let (n, v, d) = sizes
    let tokens = try TokenEmbedding(table: table(v, d, seed: 1), paddingID: v > 5 ? 5 : nil)
    let head = try TiedProjection(tokens, scale: scale)
    let (hidden, e) = (draw(n * d, seed: 2), floats(tokens.table))
    var logits = [Float](repeating: .nan, count: n * v)
    var span = logits.mutableSpan
    try head.logits(hidden.span, rows: n, into: &span)
    expectClose(
      logits.span,
      product(hidden, transposed(e, rows: v, columns: d), m: n, k: d, n: v, scale: scale),
      depth: d, "logits")

    let logitGradient = draw(n * v, seed: 3)
    var hiddenGradient = [Float](repeating: .nan, count: n * d)
    var tableGradient = try TableGradient(for: tokens.table)
    let before = draw(v * d, seed: 4)
    var values = tableGradient.mutableValues
    for i in 0..<v * d { values[i] = before[i] }
    var hiddenSpan = hiddenGradient.mutableSpan
    try head.backward(
      logitGradient.span, hidden: hidden.span, rows: n, hiddenGradient: &hiddenSpan,
      tableGradient: &tableGradient)
    expectClose(
      hiddenGradient.span, product(logitGradient, e, m: n, k: v, n: d, scale: scale), depth: v,
      "hidden gradient")
    var expected = product(
      transposed(logitGradient, rows: n, columns: v), hidden, m: v, k: n, n: d, scale: scale,
      plus: before)
    if let padding = tokens.paddingID {
      for i in padding * d..<(padding + 1) * d { expected[i] = (0, 0) }
    }
    expectClose(tableGradient.values, expected, depth: n + 1, "table gradient")
  }

  /// The loss sum(w * logits) where the hidden states are the embeddings themselves: a row moves it
  /// as input and as output, and the one gradient holds both.
  @Test func aTiedTableHasOneGradient() throws {
    let (v, d, ids) = (7, 4, [2, 5, 2, 0])
    let tokens = try TokenEmbedding(table: table(v, d, seed: 5))
    let layer = try InputEmbedding(tokens: tokens, positions: nil, scale: .value(1.5))
    let head = try TiedProjection(tokens, scale: 0.5)
    let weights = draw(ids.count * v, seed: 6)
    var hidden = try layer.makeOutput(batch: 1, context: ids.count)
    try layer.forward(ids.map { Int32($0) }, batch: 1, context: ids.count, into: &hidden)
    var hiddenGradient = [Float](repeating: 0, count: ids.count * d)
    var total = try TableGradient(for: tokens.table)
    var span = hiddenGradient.mutableSpan
    try head.backward(
      weights.span, hidden: hidden.span, rows: ids.count, hiddenGradient: &span,
      tableGradient: &total)
    // The input's part, as the sparse backward lists it.
    var sparse = try RowSparseGradient(rows: v, dim: d)
    let rows = Set(ids).sorted()
    try sparse.resize(to: rows.count)
    for (k, row) in rows.enumerated() {
      unsafe sparse.rowIDMemory[k] = Int32(row)
      for i in 0..<d {
        unsafe sparse.valueMemory[k * d + i] = ids.indices.filter { ids[$0] == row }
          .reduce(0) { $0 + hiddenGradient[$1 * d + i] }
      }
    }
    try total.add(sparse, scale: 1.5, threads: 2)

    func loss(_ e: [Double]) -> Double {
      var sum = 0.0
      for n in 0..<ids.count {
        for j in 0..<v {
          let dot = (0..<d).reduce(0.0) { $0 + 1.5 * e[ids[n] * d + $1] * e[j * d + $1] }
          sum += Double(weights[n * v + j]) * 0.5 * dot
        }
      }
      return sum
    }
    let e = floats(tokens.table).map { Double($0) }
    for i in 0..<v * d {
      var (up, down) = (e, e)
      up[i] += 1e-5
      down[i] -= 1e-5
      let numeric = (loss(up) - loss(down)) / 2e-5
      #expect(abs(Double(total.values[i]) - numeric) <= 2e-6 * max(1, abs(numeric)), "element \(i)")
    }
  }

  @Test func addingARowSparseGradientGivesTheSameBitsForEveryThreadCount() throws {
    let (v, d) = (500, 96)
    var sparse = try RowSparseGradient(rows: v, dim: d)
    try sparse.resize(to: 400)
    let values = draw(400 * d, seed: 8)
    for k in 0..<400 { unsafe sparse.rowIDMemory[k] = Int32(k + k / 5) }
    for i in 0..<400 * d { unsafe sparse.valueMemory[i] = values[i] }
    for scale in [1, -0.3] as [Float] {
      var expected = [Float](repeating: 0.5, count: v * d)
      for k in 0..<400 {
        for i in 0..<d { expected[(k + k / 5) * d + i] += scale * values[k * d + i] }
      }
      for threads in [nil, 1, 2, 5] as [Int?] {
        var gradient = try TableGradient(rows: v, dim: d)
        var all = gradient.mutableValues
        for i in 0..<v * d { all[i] = 0.5 }
        try gradient.add(sparse, scale: scale, threads: threads)
        expectSameBits(floats(gradient.values), expected, "\(threads ?? 0) threads")
      }
    }
  }

  /// Central differences of sum(w * output) in every factor of a factorised layer.
  @Test(arguments: [true, false])
  func factorisedGradientsAgreeWithCentralDifferences(hasBias: Bool) throws {
    let (v, r, d, batch, context) = (6, 3, 5, 2, 4)
    let ids: [Int32] = [0, 3, 3, 5, 1, 2, 3, 0]
    let narrow = try FusedInputEmbedding(
      InputEmbedding(
        tokens: TokenEmbedding(table: table(v, r, seed: 1)), positions: table(4, r, seed: 2),
        scale: .sqrtDim),
      normalization: .layer(dim: r))
    let projection = try FactorProjection(
      matrix: table(r, d, seed: 3), bias: hasBias ? table(1, d, seed: 4) : nil)
    let layer = try FactorizedEmbedding(narrow, projection: projection)
    let weights = draw(ids.count * d, seed: 5)
    var workspace = try FactorWorkspace()
    var gradient = try FusedEmbeddingGradient(for: narrow)
    var factors = try FactorGradient(for: projection)
    // Twice, as micro-batches: the parameters' gradients add up.
    for _ in 0..<2 {
      try layer.backward(
        weights.span, ids: ids.span, batch: batch, context: context, workspace: &workspace,
        into: &gradient, factorGradient: &factors)
    }
    func loss() throws -> Double {
      var output = [Float](repeating: .nan, count: ids.count * d)
      var span = output.mutableSpan
      try layer.forward(
        ids.span, batch: batch, context: context, workspace: &workspace, into: &span)
      return zip(weights, output).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    func check(_ table: EmbeddingTable<Float>, _ analytic: [Float], times: Double, _ name: String)
      throws
    {
      for i in 0..<analytic.count {
        let value = unsafe table.unsafeBuffer[i]
        // A power of two, so that the steps are exact; Float's own rounding is 1e-7 of the loss.
        let h: Float = 0x1p-10
        unsafe table.unsafeBuffer[i] = value + h
        let up = try loss()
        unsafe table.unsafeBuffer[i] = value - h
        let down = try loss()
        unsafe table.unsafeBuffer[i] = value
        let numeric = (up - down) / Double(2 * h) * times
        #expect(
          abs(Double(analytic[i]) - numeric) <= 5e-3 * max(1, abs(numeric)),
          "\(name)[\(i)]: \(analytic[i]) instead of \(numeric)")
      }
    }
    try check(projection.matrix, floats(factors.matrix.values), times: 2, "matrix")
    if let bias = projection.bias {
      try check(bias, floats(factors.bias.values), times: 2, "bias")
    } else {
      #expect(floats(factors.bias.values).allSatisfy { $0 == 0 })
    }
    if let gamma = narrow.normalization?.gamma {
      try check(gamma, floats(gradient.gamma), times: 2, "gamma")
    }
    // d(tokens) and d(positions) from the rows.
    var tokenGradient = [Float](repeating: 0, count: v * r)
    var positionGradient = [Float](repeating: 0, count: 4 * r)
    for n in 0..<ids.count {
      for i in 0..<r {
        tokenGradient[Int(ids[n]) * r + i] +=
          narrow.embedding.options.scale * gradient.rows[n * r + i]
        positionGradient[n % 4 * r + i] += gradient.rows[n * r + i]
      }
    }
    try check(narrow.embedding.tokens.table, tokenGradient, times: 1, "tokens")
    if let positions = narrow.embedding.positions {
      try check(positions, positionGradient, times: 1, "positions")
    }
  }

  @Test func productsKeepOpenBLASsThreads() throws {
    // As a host sees it: tests beside this one run passes of their own, for which it is 1 meanwhile.
    let found = OpenBLASLibrary.threads
    defer { try? OpenBLASLibrary.setThreads(found) }
    let tokens = try TokenEmbedding(table: table(300, 64, seed: 1))
    let head = try TiedProjection(tokens)
    let hidden = draw(100 * 64, seed: 2)
    var logits = [Float](repeating: 0, count: 100 * 300)
    for count in [1, 2] {
      try OpenBLASLibrary.setThreads(count)
      var span = logits.mutableSpan
      try head.logits(hidden.span, rows: 100, into: &span)
      #expect(OpenBLASLibrary.threads == count)
    }
  }

  @Test func faultsAreNamedBeforeAnythingIsWritten() throws {
    let tokens = try TokenEmbedding(table: table(4, 3, seed: 1))
    let head = try TiedProjection(tokens)
    let hidden = draw(6, seed: 2)
    var logits = [Float](repeating: 7, count: 8)
    func logitsError(_ hidden: [Float], rows: Int, _ logits: inout [Float]) -> EmbedError? {
      do throws(EmbedError) {
        var span = logits.mutableSpan
        try head.logits(hidden.span, rows: rows, into: &span)
        return nil
      } catch { return error }
    }
    #expect(
      logitsError(hidden, rows: 3, &logits)
        == .wrongElementCount(argument: "hidden", expected: 9, shape: [3, 3], actual: 6))
    #expect(
      logitsError(hidden, rows: -1, &logits)
        == .invalidSize(argument: "rows", value: -1, expected: "0 or more"))
    #expect(
      logitsError(hidden, rows: Int.max, &logits)
        == .sizeOverflow(argument: "hidden", factors: [Int.max, 3, 1]))
    var short = [Float](repeating: 7, count: 7)
    #expect(
      logitsError(hidden, rows: 2, &short)
        == .wrongElementCount(argument: "logits", expected: 8, shape: [2, 4], actual: 7))
    #expect(logits.allSatisfy { $0 == 7 } && short.allSatisfy { $0 == 7 })

    // The output on the input's memory.
    var shared = [Float](repeating: 7, count: 20)
    unsafe shared.withUnsafeMutableBufferPointer { shared in
      _ = #expect(throws: EmbedError.overlappingMemory(argument: "hidden")) {
        try unsafe head.logits(
          UnsafeBufferPointer(rebasing: shared[0..<6]), rows: 2,
          into: UnsafeMutableBufferPointer(rebasing: shared[4..<12]))
      }
    }
    #expect(shared.allSatisfy { $0 == 7 })

    var other = try TableGradient(rows: 5, dim: 3)
    var hiddenGradient = [Float](repeating: 7, count: 6)
    var thrown: EmbedError?
    do throws(EmbedError) {
      var span = hiddenGradient.mutableSpan
      try head.backward(
        logits.span, hidden: hidden.span, rows: 2, hiddenGradient: &span, tableGradient: &other)
    } catch { thrown = error }
    #expect(
      thrown
        == .invalidSize(argument: "rows of the table gradient", value: 5, expected: "4"))
    #expect(hiddenGradient.allSatisfy { $0 == 7 })
    #expect(
      throws: EmbedError.invalidValue(
        argument: "logit scale", value: .infinity, expected: "a finite number")
    ) { try TiedProjection(tokens, scale: .infinity) }
    let sparse = try RowSparseGradient(rows: 5, dim: 2)
    var sum = try TableGradient(rows: 5, dim: 3)
    do throws(EmbedError) {
      try sum.add(sparse)
      Issue.record("a gradient of another dim was added")
    } catch {
      #expect(
        error
          == .invalidSize(argument: "dim of the row-sparse gradient", value: 2, expected: "3"))
    }
    let matrix = try table(3, 2, seed: 1)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "dim of the bias", value: 3, expected: "the matrix's, 2")
    ) { try FactorProjection(matrix: matrix, bias: EmbeddingTable<Float>(rows: 1, dim: 3)) }
  }

  /// Sizes that only BLAS's 32-bit integers cannot count.
  @Test func sizesPastBLASsIntegersAreRefused() throws {
    let tokens = try TokenEmbedding(table: table(1, 1, seed: 1))
    let head = try TiedProjection(tokens)
    let rows = Int(Int32.max) + 1
    // Addresses that are never touched: the check comes first.
    let far = unsafe UnsafeMutablePointer<Float>(bitPattern: 1 << 40)
    let further = unsafe UnsafeMutablePointer<Float>(bitPattern: 1 << 44)
    #expect(
      throws: EmbedError.invalidSize(
        argument: "rows of hidden", value: rows,
        expected: "at most \(Int32.max), the largest that BLAS counts")
    ) {
      try unsafe head.logits(
        UnsafeBufferPointer(start: far, count: rows), rows: rows,
        into: UnsafeMutableBufferPointer(start: further, count: rows))
    }
  }
}
