// Tables of quantised rows through C: each format against its decoded rows, and what is refused.

import CEmbedKernel
import EmbedKernelABI
import EmbedRows
import Testing

@Suite struct RowTests {
  private static let rows = 9
  private static let dim = 256

  private func table(_ format: Int32, seed: UInt64 = 1) -> OpaquePointer? {
    var made: OpaquePointer?
    let values = numbers(Self.rows * Self.dim, seed: seed)
    expectOK(
      unsafe ek_rows_quantize(values, Int64(Self.rows), Int64(Self.dim), format, 0, &made))
    return unsafe made
  }

  private func decoded(_ table: OpaquePointer?) -> [Float] {
    var values = [Float](repeating: .nan, count: Self.rows * Self.dim)
    expectOK(unsafe ek_rows_decode(table, 0, Int64(Self.rows), &values, 0))
    return values
  }

  @Test(arguments: RowFormat.allCases) func everyFormatHasANumber(_ format: RowFormat) {
    var number: Int32 = -1
    expectOK(unsafe ek_rows_format_named(format.rawValue, &number))
    var info = ek_rows_format_info()
    expectOK(unsafe ek_rows_format_get(number, Int64(Self.dim), &info))
    #expect(info.block == Int64(format.block))
    #expect(info.row_bytes == (try? Int64(format.rowBytes(dim: Self.dim))))
    let table = unsafe table(number)
    var source = unsafe ek_rows_source()
    expectOK(unsafe ek_rows_get(table, &source))
    #expect(unsafe (source.format, source.rows, source.dim) == (number, 9, 256))
    #expect(unsafe source.byte_count == 9 * info.row_bytes)
    // The same bytes, wrapped where they lie.
    var wrapped: OpaquePointer?
    expectOK(unsafe ek_rows_wrap(&source, nil, nil, &wrapped))
    #expect(unsafe decoded(wrapped) == decoded(table))
    unsafe ek_rows_destroy(wrapped)
    unsafe ek_rows_destroy(table)
  }

  @Test(arguments: [EK_FORMAT_INT8, EK_FORMAT_Q8_0, EK_FORMAT_FBGEMM4])
  func readingIsThatOfTheDecodedRows(_ format: Int) {
    let table = unsafe table(Int32(format))
    let floats = unsafe decoded(table)
    let ids = someIDs(6, below: Self.rows, seed: 3)
    var (found, expected) = (
      [Float](repeating: 0, count: 6 * Self.dim), [Float](repeating: 1, count: 6 * Self.dim)
    )
    let int64 = Int32(EK_DTYPE_INT64)
    let float32 = Int32(EK_DTYPE_FLOAT32)
    expectOK(
      unsafe ek_rows_embed(
        ids, int64, 2, 3, table, floats, float32, Int64(Self.rows), &found, float32, nil))
    expectOK(
      unsafe ek_embed(
        ids, int64, 2, 3, floats, float32, Int64(Self.rows), Int64(Self.dim), floats,
        Int64(Self.rows), &expected, float32, nil))
    #expect(found == expected)
    let offsets: [Int64] = [0, 1, 1]
    unsafe offsets.withUnsafeBytes { offsets in
      var bags = unsafe ek_bag_layout(
        struct_size: MemoryLayout<ek_bag_layout>.stride, kind: Int32(EK_BAGS_OFFSETS), dtype: int64,
        numbers: offsets.baseAddress, count: 3, length: 0)
      expectOK(
        unsafe ek_rows_bag(ids, int64, 6, &bags, table, &found, float32, nil, nil))
      expectOK(
        unsafe ek_bag(
          ids, int64, 6, &bags, floats, float32, Int64(Self.rows), Int64(Self.dim), &expected,
          float32, nil, nil))
      #expect(found == expected)
    }
    unsafe ek_rows_destroy(table)
  }

  @Test func whatIsWrongIsNamed() {
    var table: OpaquePointer?
    let values = [Float](repeating: 1, count: 2 * 8)
    expectFault(
      EK_ERROR_INVALID_OPTION, unsafe ek_rows_quantize(values, 2, 8, 99, 0, &table))
    expectFault(
      EK_ERROR_INVALID_SIZE, unsafe ek_rows_quantize(values, 2, 8, Int32(EK_FORMAT_Q8_0), 0, &table)
    )
    var odd = values
    odd[11] = .infinity
    let told = expectFault(
      EK_ERROR_INVALID_VALUE, unsafe ek_rows_quantize(odd, 2, 8, Int32(EK_FORMAT_INT8), 0, &table))
    #expect(told.message.contains("row 1, column 3"))
    expectFault(
      EK_ERROR_INVALID_POINTER, unsafe ek_rows_quantize(nil, 2, 8, Int32(EK_FORMAT_F32), 0, &table))
    expectOK(unsafe ek_rows_quantize(values, 2, 8, Int32(EK_FORMAT_INT8), 0, &table))
    var room = [Float](repeating: 7, count: 16)
    for (first, count): (Int64, Int64) in [(2, 1), (-1, 1), (0, 3), (.max, 1), (1, .max)] {
      expectFault(
        EK_ERROR_INDEX_OUT_OF_RANGE, unsafe ek_rows_decode(table, first, count, &room, 0))
    }
    expectFault(EK_ERROR_INVALID_SIZE, unsafe ek_rows_decode(table, 0, -1, &room, 0))
    let outside = expectFault(
      EK_ERROR_TOKEN_OUT_OF_RANGE,
      unsafe ek_rows_embed(
        [0, 2] as [Int32], Int32(EK_DTYPE_INT32), 1, 2, table, nil, 0, 0, &room,
        Int32(EK_DTYPE_FLOAT32), nil))
    #expect((outside.position, outside.value) == (1, 2))
    #expect(room == [Float](repeating: 7, count: 16))
    unsafe ek_rows_destroy(table)
    expectFault(EK_ERROR_INVALID_HANDLE, unsafe ek_rows_decode(table, 0, 1, &room, 0))
  }
}
