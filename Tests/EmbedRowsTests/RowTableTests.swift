// Tables of rows: sizes that are refused by name, before memory is taken.

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
    #expect(throws: EmbedError.self) {
      try RowTable(rows: 2, dim: 6, format: .int8, copying: bytes.span)
    }
    #expect(throws: EmbedError.self) {
      try RowTable(rows: 2, dim: 5, format: .int8, copying: bytes.span, scales: scales.span)
    }
  }
}
