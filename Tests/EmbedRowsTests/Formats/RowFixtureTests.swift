// Rows as the formats' own libraries write and read them: the same bytes, and the same floats bit for bit on
// every instruction set.

import EmbedFiles
import EmbedKernel
import EmbedRows
import Foundation
import Testing

@Suite struct RowFixtureTests {
  static let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/rows.npz").path

  @Test(arguments: RowFormat.quantised)
  func bytesAndFloatsAreTheInventors(_ format: RowFormat) throws {
    let archive = try NumPyArchive(contentsOf: Self.path)
    let names = Set(archive.names)
    func bytes(_ name: String) throws -> [UInt8] {
      guard names.contains(name) else { return [] }
      let array = try archive.array(name, as: UInt8.self)
      return array.span.array
    }
    func floats(_ name: String) throws -> [Float] {
      let array = try archive.array(name, as: Float.self)
      return array.span.array
    }
    var cases = 0
    for name in names.sorted() where name.hasPrefix("\(format.rawValue).") {
      guard name.hasSuffix(".bytes") else { continue }
      let key = String(name.dropLast(6))
      let dim = try #require(Int(key.split(separator: ".")[1]))
      let (rows, scales, decoded) = (
        try bytes(name), try bytes("\(key).scales"), try floats("\(key).decoded")
      )
      cases += 1
      let count = decoded.count / dim
      let table = try RowTable(
        rows: count, dim: dim, format: format, copying: rows.span, scales: scales.span)
      for kernels in Kernels.everySet {
        var output = [Float](repeating: 7, count: decoded.count)
        try table.decode(0..<count, into: &output, using: kernels)
        expectSame(output, decoded, "\(key), \(kernels.instructionSet?.rawValue ?? "")")
      }
      if key.hasSuffix(".raw") { continue }
      let elements = Array(try floats("\(dim).elements").prefix(count * dim))
      let quantised = try RowTable(quantizing: elements, rows: count, dim: dim, as: format)
      expectSame(quantised.rowBytes.array, rows, "\(key), quantised")
      expectSame(quantised.scaleBytes.array, scales, "\(key), scales")
    }
    #expect(cases >= 2)
  }
}
