// Mapped tables through C: rows, prefetch, and a file that is cut short as an error of the call.

import CEmbedKernel
import EmbedFiles
import EmbedKernel
import EmbedKernelABI
import Foundation
import TestSupport
import Testing

@Suite struct MappedRowTests {
  private static let rows = 2_000
  private static let dim = 256

  private func file(_ folder: TemporaryFolder) throws -> (path: String, values: [Float]) {
    let path = folder.path("a.safetensors")
    let values = numbers(Self.rows * Self.dim, seed: 1)
    var writer = try SafetensorsWriter(
      path, tensors: [SafetensorsTensor("wte", .float32, shape: [Self.rows, Self.dim])])
    try writer.write("wte", values.span)
    try writer.commit()
    return (path, values)
  }

  private func embed(_ table: OpaquePointer?, _ ids: [Int64], _ output: inout [Float]) -> Int32 {
    unsafe ek_rows_embed(
      ids, Int32(EK_DTYPE_INT64), 1, Int64(ids.count), table, nil, 0, 0, &output,
      Int32(EK_DTYPE_FLOAT32), nil)
  }

  @Test(arguments: [0, 1 << 20] as [Int64]) func rowsAreTheFiles(_ limit: Int64) throws {
    let folder = try TemporaryFolder()
    let (path, values) = try file(folder)
    var table: OpaquePointer?
    expectOK(
      unsafe ek_rows_map(path, "wte", Int32(EK_FORMAT_OF_TENSOR), nil, limit, &table))
    let ids = [7, 1_999, 0, 7].map { Int64($0) }
    var done: Int64 = 0
    for stage in [EK_PREFETCH_FINISHED, EK_PREFETCH_STARTED] {
      expectOK(
        unsafe ek_rows_prefetch(
          table, ids, Int32(EK_DTYPE_INT64), 4, Int32(EK_UNKNOWN_ERROR), Int32(stage), &done))
      #expect(done == 4)
    }
    expectOK(
      unsafe ek_rows_prefetch(table, ids, Int32(EK_DTYPE_INT64), 4, 0, 0, nil))
    var output = [Float](repeating: 0, count: 4 * Self.dim)
    expectOK(unsafe embed(table, ids, &output))
    let expected = ids.flatMap { values[Int($0) * Self.dim..<(Int($0) + 1) * Self.dim] }
    #expect(output == expected)
    let outside = expectFault(
      EK_ERROR_TOKEN_OUT_OF_RANGE,
      unsafe ek_rows_prefetch(table, [2_000], Int32(EK_DTYPE_INT64), 1, 0, 0, nil))
    #expect(outside.value == 2_000)
    _ = expectFault(
      EK_ERROR_INVALID_OPTION,
      unsafe ek_rows_prefetch(table, ids, Int32(EK_DTYPE_INT64), 1, 0, 2, nil))
    // Cut short: this call and every later one fail, and nothing ends.
    try FileHandle(forUpdatingAtPath: path)?.truncate(atOffset: 1 << 20)
    for _ in 0..<2 {
      let told = expectFault(EK_ERROR_FILE_SYSTEM, unsafe embed(table, ids, &output))
      #expect(told.path == path)
      #expect(told.position == 1 << 20)
      #expect((1_000...1_024).contains(told.row))
    }
    _ = expectFault(EK_ERROR_FILE_SYSTEM, unsafe ek_rows_decode(table, 0, 1, &output, 0))
    unsafe ek_rows_destroy(table)
  }

  @Test func whatCannotBeMapped() throws {
    let folder = try TemporaryFolder()
    let (path, _) = try file(folder)
    var table: OpaquePointer?
    let asTensor = Int32(EK_FORMAT_OF_TENSOR)
    let none = folder.path("none.safetensors")
    _ = expectFault(
      EK_ERROR_FILE_NOT_FOUND, unsafe ek_rows_map(none, "wte", asTensor, nil, 0, &table))
    _ = expectFault(
      EK_ERROR_MISSING_TENSOR, unsafe ek_rows_map(path, "wpe", asTensor, nil, 0, &table))
    _ = expectFault(
      EK_ERROR_ELEMENT_TYPE,
      unsafe ek_rows_map(path, "wte", Int32(EK_FORMAT_Q8_0), nil, 0, &table))
    _ = expectFault(
      EK_ERROR_INVALID_SIZE, unsafe ek_rows_map(path, "wte", asTensor, nil, 100, &table))
    let gguf = try folder.file("a.gguf", "no GGUF")
    let told = expectFault(
      EK_ERROR_FILE_FORMAT, unsafe ek_rows_map(gguf, "wte", asTensor, nil, 0, &table))
    #expect(told.path == gguf)
    _ = expectFault(
      EK_ERROR_INVALID_OPTION, unsafe ek_rows_map(path, "wte", 99, nil, 0, &table))
    #expect(unsafe table == nil)
  }
}
