// Every fault of a scheme's parameters and of the gradients' sizes, by what the error says.

import EmbedKernel
import EmbedSchemes
import Testing

@Suite struct BiasParameterErrorTests {
  private func table(_ rows: Int, _ dim: Int, _ value: Float = 0.5) throws -> EmbeddingTable<Float>
  {
    try makeTable([Float](repeating: value, count: rows * dim), dim: dim)
  }

  private func size(_ argument: String, _ value: Int, _ expected: String) -> EmbedError {
    .invalidSize(argument: argument, value: value, expected: expected)
  }

  @Test func distanceSchemes() throws {
    #expect(throws: size("slopes", 0, "1 or more")) { try ALiBi(slopes: []) }
    #expect(
      throws: EmbedError.invalidValue(
        argument: "slope of head 1", value: .infinity, expected: "a finite number")
    ) { try ALiBi(slopes: [1, .infinity]) }
    #expect(throws: size("buckets", 1, "2 or more")) {
      try DistanceBuckets(count: 1, direction: .causal)
    }
    #expect(throws: size("buckets", 5, "an even number from 4 on")) {
      try DistanceBuckets(count: 5, direction: .bidirectional)
    }
    #expect(throws: size("maximum distance", 16, "more than 16")) {
      try DistanceBuckets(count: 32, maximumDistance: 16, direction: .causal)
    }
    #expect(throws: size("rows of KERPLE's parameters", 3, "2")) {
      try KERPLE(.power, parameters: table(3, 2))
    }
    #expect(throws: size("heads", -1, "1 or more")) { try Sandwich(heads: -1) }
    #expect(throws: size("sinusoid dim", 0, "an even number, 2 or more")) {
      try Sandwich(heads: 1, dim: 0)
    }
    #expect(
      throws: EmbedError.invalidValue(
        argument: "base", value: -2, expected: "a finite number above 0")
    ) { try Sandwich(heads: 1, base: -2) }
    #expect(throws: EmbedError.distanceOutOfRange(distance: 1 << 25, limit: 1 << 24)) {
      try DistanceTable(ALiBi(heads: 1), reach: BiasReach(past: 1 << 25, future: 0))
    }
    #expect(throws: EmbedError.distanceOutOfRange(distance: -(1 << 25), limit: 1 << 24)) {
      try DistanceTable(ALiBi(heads: 1), reach: BiasReach(past: 0, future: 1 << 25))
    }
  }

  @Test func fire() throws {
    let count = FIRE.parameterCount(heads: 2, width: 3)
    func make(
      heads: Int = 2, width: Int = 3, threshold: Double = 8, epsilon: Double = 1e-6,
      _ parameters: EmbeddingTable<Float>
    ) throws {
      _ = try FIRE(
        heads: heads, width: width, initialThreshold: threshold, epsilon: epsilon,
        parameters: parameters)
    }
    let good = try table(1, count)
    try make(good)
    #expect(throws: size("heads", 0, "1...1048576")) { try make(heads: 0, good) }
    #expect(throws: size("width", 0, "1...1048576")) { try make(width: 0, good) }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "FIRE's parameters", expected: count, shape: [1, count], actual: count - 1)
    ) { try make(table(1, count - 1)) }
    #expect(
      throws: EmbedError.invalidValue(
        argument: "initial threshold", value: 0, expected: "a finite number above 0")
    ) { try make(threshold: 0, good) }
    #expect(
      throws: EmbedError.invalidValue(
        argument: "epsilon", value: -1, expected: "a finite number, 0 or more")
    ) { try make(epsilon: -1, good) }
    var values = [Float](repeating: 1, count: count)
    values[4] = .infinity
    #expect(
      throws: EmbedError.invalidValue(
        argument: "FIRE's parameter 4", value: .infinity, expected: "a finite number")
    ) { try make(makeTable(values, dim: count)) }
    values[4] = 1
    values[count - 2] = 0
    #expect(
      throws: EmbedError.invalidValue(
        argument: "FIRE's c", value: 0, expected: "a number other than 0")
    ) { try make(makeTable(values, dim: count)) }
  }

  @Test func contentSchemes() throws {
    let notANumber = { (error: EmbedError?) in
      if case .invalidValue(argument: "scale", _, "a finite number") = error { true } else { false }
    }
    func fault(_ make: () throws -> Void) throws -> EmbedError {
      try #require(#expect(throws: EmbedError.self) { try make() })
    }
    #expect(throws: size("clip", -1, "0..<16777216")) {
      try ShawKeys(clip: -1, table: table(1, 4))
    }
    #expect(throws: size("rows of Shaw's table", 4, "5")) {
      try ShawValues(clip: 2, table: table(4, 4))
    }
    #expect(
      try notANumber(fault { _ = try ShawKeys(clip: 0, table: table(1, 4), scale: .nan) }))
    #expect(throws: size("columns of the projection", 5, "an even number")) {
      try TransformerXLBias(
        contentBias: table(2, 4), positionBias: table(2, 4), projection: table(8, 5))
    }
    #expect(throws: size("rows of the projection", 7, "8")) {
      try TransformerXLBias(
        contentBias: table(2, 4), positionBias: table(2, 4), projection: table(7, 6))
    }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "position bias", expected: 8, shape: [2, 4], actual: 12)
    ) {
      try TransformerXLBias(
        contentBias: table(2, 4), positionBias: table(3, 4), projection: table(8, 6))
    }
    #expect(throws: size("span", 0, "1..<16777216")) {
      try DisentangledBias(heads: 1, span: 0, keyTable: table(1, 4), queryTable: nil)
    }
    #expect(throws: size("tables", 0, "1 or 2")) {
      try DisentangledBias(heads: 1, span: 2, keyTable: nil, queryTable: nil)
    }
    #expect(throws: size("heads", 3, "a divisor of 8")) {
      try DisentangledBias(heads: 3, span: 2, keyTable: table(4, 8), queryTable: nil)
    }
    #expect(throws: size("columns of a disentangled table", 4, "8, as in the other")) {
      try DisentangledBias(heads: 2, span: 2, keyTable: table(4, 8), queryTable: table(4, 4))
    }
    #expect(throws: size("buckets", 3, "4 or more")) {
      try DisentangledBias(
        heads: 2, span: 2, buckets: 3, keyTable: table(4, 8), queryTable: nil)
    }
    #expect(throws: size("maximum distance", 3, "more than 3")) {
      try DisentangledBias(
        heads: 2, span: 2, buckets: 4, maximumDistance: 3, keyTable: table(4, 8),
        queryTable: nil)
    }
    #expect(throws: size("window columns", 0, "1...32768")) {
      try SwinBias(rows: 1, columns: 0, weights: table(1, 1))
    }
    #expect(throws: size("rows of Swin's table", 8, "9")) {
      try SwinBias(rows: 2, columns: 2, weights: table(8, 1))
    }
    #expect(throws: size("positions", 16_385, "1...16384")) {
      try CoPE(table: table(16_385, 1))
    }
  }

  @Test func gradientsMustFit() throws {
    let t5 = try DistanceTable(
      T5Bias(DistanceBuckets(direction: .causal), weights: table(32, 2)))
    let shape = AttentionShape(heads: 2, queries: 2, keys: 3)
    let upstream = [BFloat16](repeating: BFloat16(1), count: 12)
    var workspace = try BiasWorkspace()
    func add(_ count: Int, _ upstream: [BFloat16]) throws {
      var gradient = [Float](repeating: 0, count: count)
      var span = gradient.mutableSpan
      do {
        try Kernels.auto.addBiasGradient(
          t5, logitsGradient: upstream.span, shape: shape, workspace: &workspace, into: &span)
      } catch {
        #expect(gradient.allSatisfy { $0 == 0 })
        throw error
      }
    }
    try add(64, upstream)
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "parameter gradient", expected: 64, shape: [64], actual: 63)
    ) { try add(63, upstream) }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "logits", expected: 12, shape: [1, 2, 2, 3], actual: 11)
    ) { try add(64, Array(upstream.dropLast())) }
  }

  @Test func vectorGradientsMustFit() throws {
    let shaw = try ShawKeys(clip: 1, table: table(3, 4))
    let shape = AttentionShape(heads: 1, queries: 2, keys: 3)
    var workspace = try BiasWorkspace()
    func add(queries: Int, keys: Int) throws {
      let (upstream, q, k) = (
        [Float](repeating: 1, count: 6), [Float](repeating: 1, count: 8),
        [Float](repeating: 1, count: 12)
      )
      var (gradient, a, b) = (
        [Float](repeating: 0, count: 12), [Float](repeating: 0, count: queries),
        [Float](repeating: 0, count: keys)
      )
      var p = gradient.mutableSpan
      var qs = a.mutableSpan
      var ks = b.mutableSpan
      try Kernels.auto.addBiasGradient(
        shaw, logitsGradient: upstream.span, queryVectors: q.span, keyVectors: k.span,
        shape: shape, workspace: &workspace, into: &p, queryGradient: &qs, keyGradient: &ks)
    }
    try add(queries: 8, keys: 12)
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "query gradient", expected: 8, shape: [8], actual: 7)
    ) { try add(queries: 7, keys: 12) }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "key gradient", expected: 12, shape: [12], actual: 13)
    ) { try add(queries: 8, keys: 13) }
  }

  @Test func cope() throws {
    let cope = try CoPE(table: table(3, 4))
    let shape = AttentionShape(heads: 1, queries: 2, keys: 3)
    func add(
      queries: Int = 8, logits count: Int = 6, _ queryPlace: PositionIDs = .sequential(),
      _ keyPlace: PositionIDs = .sequential()
    ) throws {
      let q = [Float](repeating: 1, count: queries)
      var logits = [Float](repeating: 7, count: count)
      var span = logits.mutableSpan
      do {
        try Kernels.auto.addCoPE(
          cope, queryVectors: q.span, to: &span, shape: shape, queries: queryPlace,
          keys: keyPlace)
      } catch {
        #expect(logits.allSatisfy { $0 == 7 })
        throw error
      }
    }
    try add()
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "logits", expected: 6, shape: [1, 1, 2, 3], actual: 5)
    ) { try add(logits: 5) }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "query vectors", expected: 8, shape: [1, 1, 2, 4], actual: 9)
    ) { try add(queries: 9) }
    #expect(throws: EmbedError.unpairedDocuments) {
      try add(.packed(cumulativeLengths: [0, 2]))
    }
    #expect(
      throws: EmbedError.positionOutOfRange(
        position: -1, batchRow: 0, index: 1, maximum: Int(Int32.max))
    ) { try add(.explicit([0, -1])) }
    #expect(
      throws: EmbedError.invalidSize(argument: "threads", value: 0, expected: "1 or more")
    ) {
      var logits = [Float](repeating: 0, count: 6)
      var span = logits.mutableSpan
      let q = [Float](repeating: 1, count: 8)
      try Kernels.auto.threads(0).addCoPE(cope, queryVectors: q.span, to: &span, shape: shape)
    }
  }
}
