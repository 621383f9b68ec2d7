// Gradients, renormalisation and clipping against PyTorch's, from Fixtures/backward.json; that file's
// maker, scripts/reference/make_backward_fixtures.py, says what each field means.

import EmbedKernel
import Foundation
import Testing

enum BackwardFixtures {
  struct File: Decodable {
    let cases: [Case]
    let renorms: [Renorm]
    let clips: [Clip]
  }

  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let vocabulary: Int
    let batch: Int
    let context: Int
    let dim: Int
    let paddingID: Int?
    let byFrequency: Bool
    let scale: Float?
    let ids: [Int]
    let outputGradient: [Float]
    let tokens: [Float]
    let positions: [Float]?
    let sparseRows: [Int32]?
    let sparseValues: [Float]?
    var testDescription: String { name }
  }

  struct Renorm: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let vocabulary: Int
    let dim: Int
    let maximum: Float
    let order: String
    let ids: [Int]
    let before: [Float]
    let after: [Float]
    var testDescription: String { name }
  }

  struct Clip: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let maximum: Double
    let order: String
    let before: [[Float]]
    let norm: Double
    let after: [[Float]]
    var testDescription: String { name }
  }

  static func load() throws -> File {
    let url = Fixtures.folder.appending(path: "backward.json")
    return try JSONDecoder().decode(File.self, from: Data(contentsOf: url))
  }

  static func order(_ name: String) throws -> NormOrder {
    switch name {
    case "inf": .infinity
    case "1.0": .one
    case "2.0": .two
    default: .power(try #require(Double(name)))
    }
  }
}

@Suite struct BackwardFixtureTests {
  @Test(arguments: try BackwardFixtures.load().cases, Backend.allCases)
  func gradientsArePyTorchs(_ c: BackwardFixtures.Case, backend: Backend) throws {
    let layer = try InputEmbedding(
      vocabulary: c.vocabulary, dim: c.dim, positions: .learned(maximum: c.context),
      scale: .value(c.scale ?? 1), paddingID: c.paddingID)
    var gradient = try layer.makeGradient()
    try layer.backward(
      c.outputGradient.span, ids: c.ids.span, batch: c.batch, context: c.context, into: &gradient,
      frequencyScaling: c.byFrequency ? .inverse : .none, using: Kernels(backend: backend))
    // PyTorch adds in an order of its own: either sum of n terms errs by (n - 1) u times their sizes.
    let tokens = spread(gradient.tokens)
    let most = Float(c.ids.count)
    expectClose(tokens, c.tokens, most * 8 * .ulpOfOne)
    if let positions = c.positions {
      expectClose(spread(gradient.positions), positions, Float(c.batch) * 8 * .ulpOfOne)
    }
    if let rows = c.sparseRows, let values = c.sparseValues {
      let listed = gradient.tokens.rowIDs
      #expect(listed.indices.map { listed[$0] } == rows)
      let sparse = gradient.tokens.values
      expectClose(sparse.indices.map { sparse[$0] }, values, most * 8 * .ulpOfOne)
    }
  }

  @Test(arguments: try BackwardFixtures.load().renorms, [1, 2])
  func renormalisationIsPyTorchs(_ c: BackwardFixtures.Renorm, threads: Int) throws {
    let table = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.before.span)
    let layer = try TokenEmbedding(table: table)
    var groups = try RowGroups()
    try layer.renormalize(
      c.ids.span, context: 5, maximum: c.maximum, order: BackwardFixtures.order(c.order),
      threads: threads, groups: &groups)
    expectClose(unsafe Array(table.unsafeBuffer), c.after, 4 * .ulpOfOne)
    let touched = Set(c.ids)
    for row in 0..<c.vocabulary where !touched.contains(row) {
      for i in row * c.dim..<(row + 1) * c.dim {
        #expect(unsafe table.unsafeBuffer[i] == c.before[i])
      }
    }
  }

  @Test(arguments: try BackwardFixtures.load().clips)
  func clippingIsPyTorchs(_ c: BackwardFixtures.Clip) throws {
    var norm = try GradientNorm(order: BackwardFixtures.order(c.order))
    // The first gradient as a row-sparse one of one row, the others dense.
    var sparse = try RowSparseGradient(rows: 3, dim: c.before[0].count)
    var workspace = try BackwardWorkspace()
    let (first, ids) = (c.before[0], [1] as [Int32])
    try Kernels.auto.backward(
      first.span, ids: ids.span,
      shape: EmbeddingShape(vocabulary: 3, batch: 1, context: 1, dim: c.before[0].count),
      tokens: .rowSparse(&sparse), positions: .none, workspace: &workspace)
    norm.add(sparse)
    for dense in c.before.dropFirst() { norm.add(dense.span) }
    #expect(abs(norm.value - c.norm) <= 1e-6 * c.norm)
    let factor = try norm.clipFactor(maximum: c.maximum)
    sparse.scale(by: factor)
    let values = sparse.values
    expectClose(values.indices.map { values[$0] }, c.after[0], 4 * .ulpOfOne)
    for (before, after) in zip(c.before, c.after).dropFirst() {
      expectClose(before.map { $0 * factor }, after, 4 * .ulpOfOne)
    }
  }

  private func expectClose(_ actual: [Float], _ expected: [Float], _ tolerance: Float) {
    #expect(actual.count == expected.count)
    let largest = expected.reduce(1) { max($0, abs($1)) }
    for (i, (a, e)) in zip(actual, expected).enumerated() where abs(a - e) > tolerance * largest {
      Issue.record("element \(i) is \(a) instead of \(e)")
      return
    }
  }
}
