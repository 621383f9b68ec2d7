// Content-dependent schemes on queries, keys and logits of two bytes, held to the same call on the
// widened numbers: what differs is one rounding.

import EmbedKernel
import EmbedSchemes
import TestSupport
import Testing

/// Schemes that read vectors.
enum ContentScheme: String, CaseIterable, Sendable {
  case shaw, transformerXL, deberta, contentRelative

  func make(heads: Int, dim: Int) throws -> any TrainedBias {
    var random = SeededGenerator(seed: 29)
    func table(_ rows: Int, _ dim: Int) throws -> EmbeddingTable<Float> {
      let values = (0..<rows * dim).map { _ in Float.random(in: -1...1, using: &random) }
      return try makeTable(values, dim: dim)
    }
    return switch self {
    case .shaw: try ShawKeys(clip: 4, table: table(9, dim))
    case .transformerXL:
      try TransformerXLBias(
        contentBias: table(heads, dim), positionBias: table(heads, dim),
        projection: table(heads * dim, 6))
    case .deberta:
      try DisentangledBias(
        heads: heads, span: 4, buckets: 4, maximumDistance: 9,
        keyTable: table(8, heads * dim), queryTable: table(8, heads * dim))
    case .contentRelative: ContentRelativeBias(bank: try table(5, dim))
    }
  }
}

@Suite struct ElementContentBiasTests {
  private static let shape = AttentionShape(batch: 2, heads: 2, queries: 21, keys: 23)
  private static let dim = 16
  private static let kernels = [Kernels.openBLAS, .simd, .native].map { $0.threads(2) }

  private func draw<Element: SixteenBitElement>(
    _ count: Int, _ random: inout SeededGenerator
  ) -> [Element] {
    (0..<count).map { _ in Element(Float.random(in: -1...1, using: &random)) }
  }

  /// Within a rounding of the type, and of the sums' order.
  private func expectRounded<Element: SixteenBitElement>(
    _ actual: [Element], _ floats: [Float], _ what: @autoclosure () -> String
  ) {
    let digits = Element.elementType == .bfloat16 ? 8 : 11
    let step = Float(sign: .plus, exponent: -digits, significand: 1)
    for (i, (a, e)) in zip(actual, floats).enumerated()
    where !(a.float == e || abs(a.float - e) <= abs(e) * step * 1.01 + 1e-6) {
      Issue.record("\(what()): element \(i) is \(a.float) instead of \(e)")
      return
    }
  }

  @Test(arguments: ContentScheme.allCases)
  func vectorsAndLogitsOfTwoBytes(_ scheme: ContentScheme) throws {
    try check(BFloat16.self, scheme)
    try check(Half.self, scheme)
  }

  private func check<Element: SixteenBitElement>(
    _ type: Element.Type, _ scheme: ContentScheme
  ) throws {
    let (shape, dim) = (Self.shape, Self.dim)
    let bias = try scheme.make(heads: shape.heads, dim: dim)
    var random = SeededGenerator(seed: 31)
    let lanes = shape.batch * shape.heads
    let queries: [Element] = draw(lanes * shape.queries * dim, &random)
    let keys: [Element] = draw(lanes * shape.keys * dim, &random)
    let logits: [Element] = draw(lanes * shape.queries * shape.keys, &random)
    let (q, k) = (queries.map(\.float), keys.map(\.float))
    let place = PositionIDs.sequential(offset: 2)
    for kernels in Self.kernels {
      let what = "\(scheme), \(type), \(kernels)"
      var workspace = try BiasWorkspace()
      var output = logits
      var span = output.mutableSpan
      try kernels.addBias(
        bias, queryVectors: queries.span, keyVectors: keys.span, to: &span, shape: shape,
        queries: place, mask: .causal, workspace: &workspace)
      var floats = logits.map(\.float)
      var floatSpan = floats.mutableSpan
      try kernels.addBias(
        bias, queryVectors: q.span, keyVectors: k.span, to: &floatSpan, shape: shape,
        queries: place, mask: .causal)
      expectRounded(output, floats, what)

      func gradients<Number: TableElement>(
        _ upstream: [Number], _ queries: [Number], _ keys: [Number]
      ) throws -> [Float] {
        var (p, a, b) = (
          [Float](repeating: 0, count: bias.parameterCount),
          [Float](repeating: 0, count: queries.count), [Float](repeating: 0, count: keys.count)
        )
        var ps = p.mutableSpan
        var qs = a.mutableSpan
        var ks = b.mutableSpan
        try kernels.addBiasGradient(
          bias, logitsGradient: upstream.span, queryVectors: queries.span,
          keyVectors: keys.span, shape: shape, queries: place, mask: .causal,
          workspace: &workspace, into: &ps, queryGradient: &qs, keyGradient: &ks)
        return p + a + b
      }
      let typed = try gradients(logits, queries, keys)
      let plain = try gradients(logits.map(\.float), q, k)
      expectNear(typed, plain.map { Double($0) }, tolerance: 1e-5, scale: 10, "\(what), gradients")
    }
  }

  @Test func copeOnTwoBytes() throws {
    try checkCoPE(BFloat16.self)
    try checkCoPE(Half.self)
  }

  private func checkCoPE<Element: SixteenBitElement>(_ type: Element.Type) throws {
    let (shape, dim) = (Self.shape, Self.dim)
    var random = SeededGenerator(seed: 37)
    let table: [Float] = (0..<5 * dim).map { _ in Float.random(in: -1...1, using: &random) }
    let cope = try CoPE(table: makeTable(table, dim: dim))
    let lanes = shape.batch * shape.heads
    let queries: [Element] = draw(lanes * shape.queries * dim, &random)
    let logits: [Element] = draw(lanes * shape.queries * shape.keys, &random)
    let upstream: [Element] = draw(logits.count, &random)
    let q = queries.map(\.float)
    for kernels in Self.kernels {
      var workspace = try BiasWorkspace()
      var output = logits
      var span = output.mutableSpan
      try kernels.addCoPE(
        cope, queryVectors: queries.span, to: &span, shape: shape, workspace: &workspace)
      var floats = logits.map(\.float)
      var floatSpan = floats.mutableSpan
      try kernels.addCoPE(cope, queryVectors: q.span, to: &floatSpan, shape: shape)
      expectRounded(output, floats, "\(type), \(kernels)")

      func gradients<Number: TableElement>(
        _ queries: [Number], _ logits: [Number], _ upstream: inout [Number]
      ) throws -> [Float] {
        var (p, a) = (
          [Float](repeating: 0, count: cope.parameterCount),
          [Float](repeating: 0, count: queries.count)
        )
        var ps = p.mutableSpan
        var qs = a.mutableSpan
        var us = upstream.mutableSpan
        try kernels.addCoPEGradient(
          cope, queryVectors: queries.span, logits: logits.span, logitsGradient: &us,
          shape: shape, workspace: &workspace, into: &ps, queryGradient: &qs)
        return p + a
      }
      var (ofTyped, ofFloats) = (upstream, upstream.map(\.float))
      let typed = try gradients(queries, logits, &ofTyped)
      let plain = try gradients(q, logits.map(\.float), &ofFloats)
      expectNear(typed, plain.map { Double($0) }, tolerance: 1e-5, scale: 10, "\(type), \(kernels)")
      expectRounded(ofTyped, ofFloats, "\(type), \(kernels), logits' gradient")
    }
  }

  @Test func shawValuesOnTwoBytes() throws {
    let (shape, dim) = (Self.shape, Self.dim)
    var random = SeededGenerator(seed: 41)
    let table: [Float] = (0..<7 * dim).map { _ in Float.random(in: -1...1, using: &random) }
    let values = try ShawValues(clip: 3, table: makeTable(table, dim: dim))
    let lanes = shape.batch * shape.heads
    let weights: [Half] = draw(lanes * shape.queries * shape.keys, &random)
    let before: [Half] = draw(lanes * shape.queries * dim, &random)
    for kernels in Self.kernels {
      var workspace = try BiasWorkspace()
      var output = before
      var span = output.mutableSpan
      try kernels.addRelativeValues(
        values, weights: weights.span, to: &span, shape: shape, workspace: &workspace)
      var floats = before.map(\.float)
      var floatSpan = floats.mutableSpan
      let w = weights.map(\.float)
      try kernels.addRelativeValues(
        values, weights: w.span, to: &floatSpan, shape: shape, workspace: &workspace)
      expectRounded(output, floats, "\(kernels)")
      var (typed, plain) = (weights, w)
      var (a, b) = ([Float](repeating: 0, count: 7 * dim), [Float](repeating: 0, count: 7 * dim))
      var typedSpan = typed.mutableSpan
      var plainSpan = plain.mutableSpan
      var aSpan = a.mutableSpan
      var bSpan = b.mutableSpan
      let f = before.map(\.float)
      try kernels.addRelativeValuesGradient(
        values, weights: weights.span, outputGradient: before.span, shape: shape,
        workspace: &workspace, weightsGradient: &typedSpan, into: &aSpan)
      try kernels.addRelativeValuesGradient(
        values, weights: w.span, outputGradient: f.span, shape: shape, workspace: &workspace,
        weightsGradient: &plainSpan, into: &bSpan)
      expectRounded(typed, plain, "\(kernels), weights")
      expectNear(a, b.map { Double($0) }, tolerance: 1e-5, scale: 10, "\(kernels), table")
    }
  }

  /// A packed document counts its own keys alone, whatever stands beside it.
  @Test func copeKeepsDocumentsApart() throws {
    let (heads, dim, size) = (2, 8, 12)
    var random = SeededGenerator(seed: 43)
    let table: [Float] = (0..<4 * dim).map { _ in Float.random(in: -1...1, using: &random) }
    let cope = try CoPE(table: makeTable(table, dim: dim))
    let queries = random.floats(heads * size * dim)
    let logits = (0..<heads * size * size).map { _ in Float.random(in: -1...1, using: &random) }
    let shape = AttentionShape(heads: heads, queries: size, keys: size)
    let place = PositionIDs.packed(cumulativeLengths: [0, 5, 12])
    var packed = logits
    var span = packed.mutableSpan
    try Kernels.auto.addCoPE(
      cope, queryVectors: queries.span, to: &span, shape: shape, queries: place, keys: place)
    for document in [0..<5, 5..<12] {
      let length = document.count
      func cut(_ values: [Float], _ width: Int, _ columns: Range<Int>) -> [Float] {
        (0..<heads).flatMap { h in
          document.flatMap { i in columns.map { values[(h * size + i) * width + $0] } }
        }
      }
      var alone = cut(logits, size, document)
      var aloneSpan = alone.mutableSpan
      let own = cut(queries, dim, 0..<dim)
      try Kernels.auto.addCoPE(
        cope, queryVectors: own.span, to: &aloneSpan,
        shape: AttentionShape(heads: heads, queries: length, keys: length))
      expectNear(
        cut(packed, size, document), alone.map { Double($0) }, tolerance: 1e-6, scale: 100,
        "document \(document)")
      // Keys of the other document keep their logits.
      let others = document.lowerBound == 0 ? 5..<12 : 0..<5
      expectSameBits(cut(packed, size, others), cut(logits, size, others), "\(others)")
    }
  }
}
