// Bags and their gradients against PyTorch's, from Fixtures/bags.json; that file's maker,
// scripts/reference/make_bag_fixtures.py, says what each field means.

import EmbedKernel
import EmbedRows
import Foundation
import Testing

enum BagFixtures {
  struct File: Decodable {
    let cases: [Case]
  }

  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let mode: String
    let vocabulary: Int
    let dim: Int
    let paddingID: Int?
    let byFrequency: Bool
    let includesLast: Bool
    let lengths: [Int]
    let offsets: [Int]?
    let table: [Float]
    let ids: [Int]
    let weights: [Float]?
    let output: [Float]
    let outputGradient: [Float]
    let tableGradient: [Float]
    let weightGradient: [Float]?
    let sparseRows: [Int32]?
    let sparseValues: [Float]?
    var testDescription: String { name }

    /// Calls `body` with the bags as they were told to PyTorch.
    func withBags(_ body: (borrowing Bags) throws -> Void) throws {
      if let offsets {
        try body(.offsets(offsets, last: includesLast ? .included : .omitted))
      } else {
        try body(.rectangle(batch: lengths.count, bag: lengths.first ?? 0))
      }
    }

    /// How far a sum of as many terms as there are ids may be from another order's.
    func isNear(_ a: [Float], _ b: [Float]) -> Bool {
      let largest = Swift.max(
        1, (table + outputGradient + (weights ?? [])).map(\.magnitude).max() ?? 1)
      let bound = Float(ids.count + dim + 2) * 0x1p-24 * 2 * largest * largest * Float(ids.count)
      return a.count == b.count && zip(a, b).allSatisfy { ($0 - $1).magnitude <= bound }
    }
  }

  static func load() throws -> File {
    let url = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "Fixtures/bags.json")
    return try JSONDecoder().decode(File.self, from: Data(contentsOf: url))
  }
}

@Suite struct BagFixtureTests {
  @Test(arguments: try BagFixtures.load().cases, Backend.allCases)
  func bagsArePyTorchs(_ c: BagFixtures.Case, backend: Backend) throws {
    let kernels = Kernels(backend: backend)
    let pool = try #require(BagPool(rawValue: c.mode))
    let options = BagOptions(paddingID: c.paddingID)
    let table = try EmbeddingTable<Float>(rows: c.vocabulary, dim: c.dim, copying: c.table.span)
    var output = [Float](repeating: .nan, count: c.output.count)
    var winners: [Int32]?
    try c.withBags { bags in
      if pool == .max {
        var won = [Int32](repeating: -7, count: c.output.count)
        try kernels.bag(
          maximumOf: c.ids, in: bags, tokens: table, options: options, into: &output, winners: &won)
        winners = won
      } else {
        try kernels.bag(
          ids: c.ids, in: bags, weights: c.weights, tokens: table, pool: pool, options: options,
          into: &output)
      }
    }
    #expect(pool == .max ? output == c.output : c.isNear(output, c.output))

    var workspace = try BagWorkspace()
    var gradient = [Float](repeating: .nan, count: c.tableGradient.count)
    try c.withBags { bags in
      try kernels.bagBackward(
        c.outputGradient, ids: c.ids, in: bags, weights: c.weights, winners: winners,
        rows: c.vocabulary, dim: c.dim, pool: pool, options: options,
        frequencyScaling: c.byFrequency ? .inverse : .none, tokens: .dense(&gradient, .overwrite),
        workspace: &workspace)
    }
    #expect(c.isNear(gradient, c.tableGradient))

    if let expected = c.weightGradient {
      var ofWeights = [Float](repeating: .nan, count: expected.count)
      try c.withBags { bags in
        try kernels.bagWeightGradient(
          c.outputGradient, ids: c.ids, in: bags, tokens: table, options: options, into: &ofWeights)
      }
      #expect(c.isNear(ofWeights, expected))
    }
    guard let rows = c.sparseRows, let values = c.sparseValues else { return }
    var sparse = try RowSparseGradient(rows: c.vocabulary, dim: c.dim)
    try c.withBags { bags in
      try kernels.bagBackward(
        c.outputGradient, ids: c.ids, in: bags, weights: c.weights, rows: c.vocabulary, dim: c.dim,
        pool: pool, options: options, tokens: .rowSparse(&sparse), workspace: &workspace)
    }
    #expect((0..<sparse.count).map { sparse.rowIDs[$0] } == rows)
    #expect(c.isNear((0..<sparse.count * c.dim).map { sparse.values[$0] }, values))
  }
}
