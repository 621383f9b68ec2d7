// The forward path's reference arrays, as scripts/reference/make_forward_fixtures.py lists them; that
// script says what each field means.

import EmbedKernel
import Foundation
import Testing

/// The cases, tables and vectors in Fixtures/forward.
enum ForwardFixtures {
  /// An embedding that PyTorch computed. Arrays are names of files, for `path(_:)`.
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name: String
    let ids: String
    let tokens: String
    let positions: String?
    let expected: String
    let batch: Int
    let context: Int
    let dim: Int
    let vocabulary: Int
    let maximumContext: Int?
    let scale: Float?
    let offset: Int?
    let positionIDs: [Int]?
    let cumulativeLengths: [Int]?
    let mask: [UInt8]?
    let paddingID: Int?
    var testDescription: String { name }
  }

  /// Rows of a sinusoidal table at `positionIDs`, shape `[positionIDs.count, dim]`.
  struct Sinusoidal: Decodable, Sendable, CustomTestStringConvertible {
    enum Layout: String, Decodable { case interleaved, concatenated }
    enum Exponents: String, Decodable { case pairs, endpoints }
    let name: String
    let layout: Layout
    let exponents: Exponents
    let base: Double
    let dim: Int
    let positionIDs: [Int]
    let table: String
    var testDescription: String { name }
  }

  /// A block of Philox 4x32-10.
  struct Philox: Decodable, Sendable {
    let source: String
    let counter: [UInt32]
    let key: [UInt32]
    let expected: [UInt32]
  }

  static func cases() throws -> [Case] {
    struct File: Decodable { let cases: [Case] }
    return try decode(File.self, "cases.json").cases
  }

  static func sinusoidal() throws -> [Sinusoidal] {
    struct File: Decodable { let tables: [Sinusoidal] }
    return try decode(File.self, "sinusoidal.json").tables
  }

  static func philox() throws -> [Philox] {
    struct File: Decodable { let vectors: [Philox] }
    return try decode(File.self, "philox.json").vectors
  }

  static func path(_ name: String) -> String { folder.appending(path: name).path }

  private static let folder = Fixtures.folder.appending(path: "forward")

  private static func decode<File: Decodable>(_ type: File.Type, _ name: String) throws -> File {
    try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: name)))
  }
}

@Suite struct ForwardFixturesTests {
  @Test(arguments: try ForwardFixtures.cases())
  func arraysHaveTheShapesTheyAreListedWith(_ c: ForwardFixtures.Case) throws {
    let ids = try NumPyHeader(contentsOf: ForwardFixtures.path(c.ids))
    #expect(ids.shape == [c.batch, c.context])
    #expect([.int32, .int64].contains(ids.elementType))
    let tokens = try NumPyArray<Float>(contentsOf: ForwardFixtures.path(c.tokens))
    #expect(tokens.shape == [c.vocabulary, c.dim])
    let expected = try NumPyArray<Float>(contentsOf: ForwardFixtures.path(c.expected))
    #expect(expected.shape == [c.batch, c.context, c.dim])
    if let name = c.positions {
      let positions = try NumPyArray<Float>(contentsOf: ForwardFixtures.path(name))
      #expect(positions.shape == [c.maximumContext, c.dim])
    }
    let count = c.batch * c.context
    #expect(c.positionIDs?.count ?? count == count)
    #expect(c.mask?.count ?? count == count)
    #expect(c.cumulativeLengths?.last ?? count == count)
  }

  @Test(arguments: try ForwardFixtures.sinusoidal())
  func tablesHaveARowForEachPosition(_ table: ForwardFixtures.Sinusoidal) throws {
    let rows = try NumPyArray<Float>(contentsOf: ForwardFixtures.path(table.table))
    #expect(rows.shape == [table.positionIDs.count, table.dim])
  }
}
