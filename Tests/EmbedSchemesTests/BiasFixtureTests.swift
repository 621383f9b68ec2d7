// The biases against Hugging Face transformers, x-transformers, NVIDIA NeMo and PyTorch's autograd.

import EmbedKernel
import EmbedSchemes
import Foundation
import Testing

@Suite struct BiasFixtureTests {
  /// Every backend and instruction set of this machine, on one thread and on two.
  static let kernels: [Kernels] =
    ([.openBLAS, .simd]
    + InstructionSet.allCases.filter(\.isAvailable).map {
      Kernels(backend: .native, instructionSet: $0)
    }).flatMap { [$0.threads(1), $0.threads(2)] }

  let fixtures: BiasFixtures
  init() throws { fixtures = try BiasFixtures.load() }

  @Test func alibiHasThePublishedSlopes() throws {
    for (heads, slopes) in fixtures.alibiSlopes {
      let ours = ALiBi.slopes(heads: try #require(Int(heads)))
      // BLOOM computes them by repeated float products.
      expectNear(ours.map { Float($0) }, slopes, tolerance: 2e-6, "\(heads) heads")
    }
    #expect(ALiBi.slopes(heads: 3) == [0.0625, 0.00390625, 0.25])
  }

  @Test func bucketsAreT5s() throws {
    for options in fixtures.buckets {
      let direction = try #require(
        options.direction.flatMap { DistanceBuckets.Direction(rawValue: $0) })
      let buckets = try DistanceBuckets(
        count: options.count, maximumDistance: options.maximumDistance, direction: direction)
      #expect((-400...400).map { buckets.bucket($0) } == options.buckets, "\(options.count)")
    }
    let buckets = try DistanceBuckets(direction: .bidirectional)
    #expect(Array(buckets.thresholds[8...]) == [8, 12, 16, 23, 32, 46, 64, 91])
    let causal = try DistanceBuckets(direction: .causal)
    #expect(
      Array(causal.thresholds[16...])
        == [16, 19, 21, 24, 27, 31, 35, 40, 46, 52, 59, 67, 77, 87, 99, 113])
  }

  @Test func logBucketsAreDeBERTas() {
    for options in fixtures.logBuckets {
      let buckets = (-400...400).map {
        DisentangledBias.logBucket(
          $0, count: options.count, maximumDistance: options.maximumDistance)
      }
      #expect(buckets == options.buckets, "\(options.count), \(options.maximumDistance)")
    }
  }

  @Test func windowIndexIsSwins() throws {
    for (name, index) in fixtures.swinIndex {
      let sizes = name.split(separator: "x").compactMap { Int($0) }
      let (rows, columns) = (sizes[0], sizes[1])
      let count = (2 * rows - 1) * (2 * columns - 1)
      // Row r of the table holds r, so a bias is an index.
      let weights = try makeTable((0..<count).map { Float($0) }, dim: 1)
      let swin = try SwinBias(rows: rows, columns: columns, weights: weights)
      var output = [Float](repeating: 0, count: index.count)
      let places = rows * columns
      var span = output.mutableSpan
      try Kernels.auto.writeBias(
        swin, into: &span, shape: AttentionShape(heads: 1, queries: places, keys: places))
      #expect(output.map { Int($0) } == index, "\(name)")
    }
  }

  @Test func sandwichIsNeMos() throws {
    let sandwich = try Sandwich(heads: 8, dim: 64)
    for (i, expected) in fixtures.sandwich.enumerated() {
      let value = sandwich.value(head: i / 500, distance: i % 500)
      // The fixture has twelve digits.
      let (error, bound) = (abs(value - expected), 1e-11 * max(1, abs(expected)))
      #expect(error <= bound, "\(i)")
    }
    var output = [Float](repeating: 0, count: 8 * 500)
    var span = output.mutableSpan
    try Kernels.auto.writeBias(
      DistanceTable(sandwich), into: &span,
      shape: AttentionShape(heads: 8, queries: 500, keys: 1))
    expectNear(output, fixtures.sandwich, tolerance: 1e-6, scale: nil, "sandwich")
  }

  @Test(arguments: KERPLE.Kernel.allCases)
  func kerple(_ kernel: KERPLE.Kernel) throws {
    let fixture = try fixtures.fixture("kerple-\(kernel.rawValue)")
    let parameters = try fixture.floats("p") + fixture.floats("a")
    let table = try DistanceTable(
      KERPLE(
        kernel,
        parameters: makeTable(parameters, dim: fixtures.shape[1])))
    try check(
      table, fixture, batch: 1,
      parameters: fixture.doubles("pGradient") + fixture.doubles("aGradient"))
  }

  @Test func fire() throws {
    let fixture = try fixtures.fixture("fire")
    let names = ["w1", "b1", "w2", "b2", "c", "factor"]
    let parameters = try names.flatMap { try fixture.floats($0) }
    // c is not exact in float.
    let fire = try FIRE(
      heads: fixtures.shape[1], width: 5, initialThreshold: 4,
      parameters: makeTable(parameters, dim: parameters.count))
    let gradients = try names.flatMap { try fixture.doubles("\($0)Gradient") }
    try check(fire, fixture, batch: 1, parameters: gradients, tolerance: 1e-6)
  }

  @Test func shaw() throws {
    let fixture = try fixtures.fixture("shaw")
    let bias = try ShawKeys(clip: 3, table: fixture.table("table", dim: fixtures.dim))
    try check(bias, fixture, parameters: fixture.doubles("tableGradient"))
  }

  @Test func transformerXL() throws {
    let fixture = try fixtures.fixture("transformer-xl")
    let model = try #require(fixture.sizes["model"])
    let bias = try TransformerXLBias(
      contentBias: fixture.table("u", dim: fixtures.dim),
      positionBias: fixture.table("v", dim: fixtures.dim),
      projection: fixture.table("w", dim: model))
    try check(
      bias, fixture,
      parameters: ["u", "v", "w"].flatMap { try fixture.doubles("\($0)Gradient") })
  }

  @Test(arguments: ["deberta", "deberta-clipped"])
  func deberta(_ name: String) throws {
    let fixture = try fixtures.fixture(name)
    let span = try #require(fixture.sizes["span"])
    let width = fixtures.dim * fixtures.shape[1]
    let bias = try DisentangledBias(
      heads: fixtures.shape[1], span: span, buckets: name == "deberta" ? 4 : nil,
      maximumDistance: 7, keyTable: fixture.table("keyTable", dim: width),
      queryTable: fixture.table("queryTable", dim: width))
    try check(
      bias, fixture,
      parameters: fixture.doubles("keyTableGradient") + fixture.doubles("queryTableGradient"))
  }

  @Test func contentRelative() throws {
    let fixture = try fixtures.fixture("content-relative")
    let (rank, heads, queries) = (4, fixtures.shape[1], fixtures.shape[2])
    let published = try fixture.floats("bank")
    let extent = published.count / rank
    func turned<T>(_ values: [T], _ rows: Int, _ columns: Int) -> [T] {
      (0..<values.count).map { values[($0 % rows) * columns + $0 / rows] }
    }
    let bank = try makeTable(turned(published, rank, extent), dim: rank)
    // The library keeps the heads inside the tokens.
    func byHead<T>(_ values: [T]) -> [T] {
      (0..<values.count).map { i in
        let (c, rest) = (i % rank, i / rank)
        let (q, lane) = (rest % queries, rest / queries)
        let (h, b) = (lane % heads, lane / heads)
        return values[((b * queries + q) * heads + h) * rank + c]
      }
    }
    let gradient = try turned(fixture.doubles("bankGradient"), rank, extent)
    try check(
      ContentRelativeBias(bank: bank), fixture, parameters: gradient,
      queries: byHead(fixture.floats("queries")),
      queryGradient: byHead(fixture.doubles("queriesGradient")))
  }

  @Test(arguments: kernels)
  func shawValues(_ kernels: Kernels) throws {
    let fixture = try fixtures.fixture("shaw-values")
    let values = try ShawValues(clip: 3, table: fixture.table("table", dim: fixtures.dim))
    let (weights, upstream) = (try fixture.floats("weights"), try fixture.floats("upstream"))
    let expected = try fixture.doubles("bias")
    var workspace = try BiasWorkspace()
    var output = [Float](repeating: 0, count: expected.count)
    var outputSpan = output.mutableSpan
    try kernels.addRelativeValues(
      values, weights: weights.span, to: &outputSpan, shape: fixtures.attention,
      workspace: &workspace)
    expectNear(output, expected, tolerance: 2e-6, scale: 10, "output")
    var (ofWeights, ofTable) = (
      [Float](repeating: 0, count: weights.count),
      [Float](repeating: 0, count: values.parameterCount)
    )
    var weightSpan = ofWeights.mutableSpan
    var tableSpan = ofTable.mutableSpan
    try kernels.addRelativeValuesGradient(
      values, weights: weights.span, outputGradient: upstream.span, shape: fixtures.attention,
      workspace: &workspace, weightsGradient: &weightSpan, into: &tableSpan)
    expectNear(
      ofWeights, try fixture.doubles("weightsGradient"), tolerance: 2e-6, scale: 10, "weights")
    expectNear(ofTable, try fixture.doubles("tableGradient"), tolerance: 2e-6, scale: 30, "table")
  }

  @Test(arguments: kernels)
  func cope(_ kernels: Kernels) throws {
    let fixture = try fixtures.fixture("cope")
    let cope = try CoPE(table: fixture.table("table", dim: fixtures.dim))
    let (queries, raw) = (try fixture.floats("queries"), try fixture.floats("logits"))
    let (q, k) = (fixtures.shape[2], fixtures.shape[3])
    let isHidden = raw.indices.map { $0 % k > ($0 / k) % q }
    let masked = zip(raw, isHidden).map { $1 ? -.infinity : $0 }
    var logits = masked
    var span = logits.mutableSpan
    try kernels.addCoPE(cope, queryVectors: queries.span, to: &span, shape: fixtures.attention)
    let expected = zip(try fixture.doubles("bias"), masked).map { $0 + Double($1) }
    for i in raw.indices where isHidden[i] { #expect(logits[i] == -.infinity) }
    let shown = raw.indices.filter { !isHidden[$0] }
    expectNear(
      shown.map { logits[$0] }, shown.map { expected[$0] }, tolerance: 2e-6, scale: 10, "logits")

    var ofLogits = try zip(fixture.floats("upstream"), isHidden).map { $1 ? 0 : $0 }
    let upstream = ofLogits
    var (ofTable, ofQueries) = (
      [Float](repeating: 0, count: cope.parameterCount),
      [Float](repeating: 0, count: queries.count)
    )
    var a = ofLogits.mutableSpan
    var b = ofTable.mutableSpan
    var c = ofQueries.mutableSpan
    var workspace = try BiasWorkspace()
    try kernels.addCoPEGradient(
      cope, queryVectors: queries.span, logits: masked.span, logitsGradient: &a,
      shape: fixtures.attention, workspace: &workspace, into: &b, queryGradient: &c)
    // PyTorch's is of the bias alone; ours adds the logits' own.
    let total = zip(try fixture.doubles("logitsGradient"), upstream).map { $0 + Double($1) }
    expectNear(ofLogits, total, tolerance: 2e-6, scale: 10, "logits' gradient")
    expectNear(ofTable, try fixture.doubles("tableGradient"), tolerance: 2e-6, scale: 30, "table")
    expectNear(
      ofQueries, try fixture.doubles("queriesGradient"), tolerance: 2e-6, scale: 10, "queries")
  }

  /// Checks a bias and its gradients, on every backend.
  private func check(
    _ bias: any TrainedBias, _ fixture: BiasFixtures.Case, batch: Int? = nil,
    parameters: [Double], queries: [Float]? = nil, queryGradient: [Double]? = nil,
    tolerance: Double = 1e-6
  ) throws {
    var shape = fixtures.attention
    shape.batch = batch ?? shape.batch
    let expected = try fixture.doubles("bias")
    let upstream = try fixture.floats("upstream")
    let dim = bias.headDim ?? 0
    let queries = try queries ?? (dim > 0 ? fixture.floats("queries") : [])
    let count = shape.batch * shape.heads * shape.keys * dim
    let keys =
      try fixture.arrays["keys"] == nil
      ? [Float](repeating: 0, count: count) : fixture.floats("keys")
    let queryExpected = try queryGradient ?? (dim > 0 ? fixture.doubles("queriesGradient") : [])
    for kernels in Self.kernels {
      let what = "\(bias.name), \(kernels)"
      var logits = [Float](repeating: 0, count: expected.count)
      var gradient = [Float](repeating: 0, count: bias.parameterCount)
      var workspace = try BiasWorkspace()
      var logitSpan = logits.mutableSpan
      var gradientSpan = gradient.mutableSpan
      if dim == 0 {
        try kernels.addBias(bias, to: &logitSpan, shape: shape)
        try kernels.addBiasGradient(
          bias, logitsGradient: upstream.span, shape: shape, workspace: &workspace,
          into: &gradientSpan)
      } else {
        try kernels.addBias(
          bias, queryVectors: queries.span, keyVectors: keys.span, to: &logitSpan, shape: shape)
        var (ofQueries, ofKeys) = (
          [Float](repeating: 0, count: queries.count), [Float](repeating: 0, count: keys.count)
        )
        var a = ofQueries.mutableSpan
        var b = ofKeys.mutableSpan
        try kernels.addBiasGradient(
          bias, logitsGradient: upstream.span, queryVectors: queries.span,
          keyVectors: keys.span, shape: shape, workspace: &workspace, into: &gradientSpan,
          queryGradient: &a, keyGradient: &b)
        expectNear(ofQueries, queryExpected, tolerance: tolerance, scale: 20, "\(what), queries")
        if fixture.arrays["keys"] != nil {
          expectNear(
            ofKeys, try fixture.doubles("keysGradient"), tolerance: tolerance, scale: 20,
            "\(what), keys")
        }
      }
      expectNear(
        logits, expected, tolerance: tolerance, scale: dim == 0 ? nil : 10, "\(what), bias")
      expectNear(gradient, parameters, tolerance: tolerance, scale: 60, "\(what), parameters")
    }
  }
}
