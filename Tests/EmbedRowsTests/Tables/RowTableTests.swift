// Tables of rows: sizes that are refused by name, before memory is taken, and memory that is shared.

import EmbedKernel
import EmbedRows
import Testing

@Suite struct RowTableTests {
  @Test func bytesAreCounted() throws {
    let bytes = [UInt8](repeating: 1, count: 12)
    let scales = [UInt8](repeating: 0, count: 8)
    let table = try RowTable(
      rows: 2, dim: 6, format: .int8, copying: bytes.span, scales: scales.span)
    #expect(table.byteCount == 20)
    #expect(table.rowBytes.array == bytes)
    #expect(table.scaleBytes.array == scales)
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "bytes of scales of int8 rows", expected: 8, shape: [2, 4], actual: 0)
    ) { try RowTable(rows: 2, dim: 6, format: .int8, copying: bytes.span) }
    #expect(
      throws: EmbedError.wrongElementCount(
        argument: "bytes of int8 rows", expected: 10, shape: [2, 5], actual: 12)
    ) { try RowTable(rows: 2, dim: 5, format: .int8, copying: bytes.span, scales: scales.span) }
    // Sizes that no memory has.
    #expect(throws: EmbedError.self) {
      try RowTable(rows: .max / 4, dim: 64, format: .q8_0, copying: bytes.span)
    }
    #expect(throws: EmbedError.self) {
      try RowTable(rows: -1, dim: 6, format: .int8, copying: bytes.span)
    }
  }

  @Test func tablesOfElementsAreShared() throws {
    let table = try EmbeddingTable<BFloat16>(rows: 3, dim: 5)
    let rows = try RowTable(sharing: table)
    #expect(rows.format == .bfloat16)
    table[2, 4] = BFloat16(7)
    var output = [Float](repeating: 0, count: 5)
    try rows.decode(2..<3, into: &output)
    #expect(output == [0, 0, 0, 0, 7])
  }

  @Test func rowsOutsideAreRefused() throws {
    let table = try RowTable(quantizing: [1, 2, 3, 4], rows: 2, dim: 2, as: .int8)
    var output = [Float](repeating: 9, count: 4)
    #expect(
      throws: EmbedError.invalidSize(argument: "row", value: 2, expected: "a row of 0...1")
    ) { try table.decode(1..<3, into: &output) }
    #expect(throws: EmbedError.self) { try table.decode(0..<1, into: &output) }
    #expect(output == [9, 9, 9, 9])
    var nothing = [Float]()
    try table.decode(1..<1, into: &nothing)
  }
}
