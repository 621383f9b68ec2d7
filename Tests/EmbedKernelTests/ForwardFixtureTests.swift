// The forward path against PyTorch's own output, bit for bit. `scripts/reference` makes the arrays.

import EmbedKernel
import Foundation
import Testing

@Suite struct ForwardFixtureTests {
  struct Case: Decodable, Sendable, CustomStringConvertible {
    let name, ids, tokens, expected: String
    let positions: String?
    let batch, context, dim, vocabulary: Int
    let maximumContext, offset, paddingID: Int?
    let scale: Float?
    let positionIDs, cumulativeLengths: [Int32]?
    let mask: [UInt8]?
    var description: String { name }

    var place: PositionIDs {
      if let positionIDs { return .explicit(positionIDs) }
      if let cumulativeLengths { return .packed(cumulativeLengths: cumulativeLengths) }
      if let mask { return .mask(mask) }
      return .sequential(offset: offset ?? 0)
    }
  }

  struct Manifest: Decodable { let cases: [Case] }

  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Fixtures/forward")
  static let cases: [Case] = {
    guard let data = try? Data(contentsOf: folder.appending(path: "cases.json")),
      let manifest = try? JSONDecoder().decode(Manifest.self, from: data)
    else { return [] }
    return manifest.cases
  }()

  static func floats(_ name: String) throws -> (values: [Float], shape: [Int]) {
    let array = try NumPyFile.read(folder.appending(path: name).path, as: Float.self)
    return (array.withUnsafeBufferPointer { unsafe Array($0) }, array.shape)
  }

  static func ids(_ name: String) throws -> [Int] {
    let path = folder.appending(path: name).path
    if try NumPyHeader(contentsOf: path).elementType == .int32 {
      return try NumPyFile.read(path, as: Int32.self)
        .withUnsafeBufferPointer { unsafe $0.map { Int($0) } }
    }
    return try NumPyFile.read(path, as: Int64.self)
      .withUnsafeBufferPointer { unsafe $0.map { Int($0) } }
  }

  @Test func theManifestIsThere() { #expect(Self.cases.count >= 30) }

  @Test(arguments: cases)
  func passHasPyTorchsBits(_ case_: Case) throws {
    let ids = try Self.ids(case_.ids)
    let (tokens, tokenShape) = try Self.floats(case_.tokens)
    let positions = try case_.positions.map { try Self.floats($0).values }
    let (expected, shape) = try Self.floats(case_.expected)
    #expect(tokenShape == [case_.vocabulary, case_.dim])
    #expect(shape == [case_.batch, case_.context, case_.dim])
    for way in Way.all {
      let output = try embed(
        way, ids: ids, tokens: tokens, positions: positions,
        shape: EmbeddingShape(
          vocabulary: case_.vocabulary, batch: case_.batch, context: case_.context,
          dim: case_.dim),
        at: case_.place, options: EmbedOptions(scale: case_.scale ?? 1))
      expectSameBits(output, expected, "\(case_.name), \(way)")
    }
  }

  @Test(arguments: cases)
  func layerHasPyTorchsBits(_ case_: Case) throws {
    let tokenValues = try Self.floats(case_.tokens).values
    let table = try EmbeddingTable(
      rows: case_.vocabulary, dim: case_.dim, copying: tokenValues.span)
    let tokens = try TokenEmbedding(table: table, paddingID: case_.paddingID)
    tokens.clearPaddingRow()
    var positions: EmbeddingTable?
    if let name = case_.positions, let maximum = case_.maximumContext {
      let values = try Self.floats(name).values
      positions = try EmbeddingTable(rows: maximum, dim: case_.dim, copying: values.span)
    }
    let layer = try InputEmbedding(
      tokens: tokens, positions: positions, scale: .value(case_.scale ?? 1))
    var output = try layer.makeOutput(batch: case_.batch, context: case_.context)
    try layer.forward(
      Self.ids(case_.ids), batch: case_.batch, context: case_.context, at: case_.place,
      into: &output)
    let values = unsafe Array(output.unsafeBuffer)
    expectSameBits(values, try Self.floats(case_.expected).values, case_.name)
  }
}
