// The library's own facts: versions, errors, threads, buffers, handles; and that header and list of symbols
// name the same functions.

import CEmbedKernel
import EmbedKernel
import EmbedKernelABI
import Foundation
import Testing

@Suite(.serialized) struct LibraryTests {
  @Test func tellsItsVersions() {
    #expect(ek_abi_version() == Int32(EK_ABI_VERSION))
    #expect(unsafe String(cString: ek_version()) == Release.version)
  }

  @Test func describesItself() throws {
    var length = 0
    let told = expectFault(EK_ERROR_BUFFER_TOO_SMALL, unsafe ek_describe(nil, 0, &length))
    #expect(told.value == Int64(length + 1))
    var text = [CChar](repeating: 1, count: length + 1)
    expectOK(unsafe ek_describe(&text, text.count, &length))
    #expect(
      String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self).contains("OpenBLAS"))
  }

  @Test func threadsAreTheProcesses() {
    #expect(ek_cpu_count() >= 1)
    expectOK(ek_set_threads(1))
    #expect(ek_threads() == 1)
    expectFault(EK_ERROR_INVALID_SIZE, ek_set_threads(-1))
    #expect(ek_threads() == 1)
    expectOK(ek_set_threads(0))
  }

  @Test func errorsAreForgotten() {
    expectFault(EK_ERROR_INVALID_SIZE, ek_set_threads(-1))
    ek_clear_error()
    #expect(Told().code == EK_OK)
    #expect(unsafe String(cString: ek_error_name(10)) == "EK_ERROR_TOKEN_OUT_OF_RANGE")
    #expect(unsafe String(cString: ek_error_name(-7)) == "EK_ERROR_UNKNOWN")
  }

  // MARK: Buffers

  @Test(arguments: [0, 1, 4_096, 100_000, 2 << 20, (2 << 20) + 1, 9_000_000])
  func buffersAreReused(bytes: Int) {
    var first: UnsafeMutableRawPointer?
    expectOK(unsafe ek_buffer_take(bytes, &first))
    let alignment = bytes >= 2 << 20 ? 2 << 20 : 64
    #expect(Int(bitPattern: first) % alignment == 0)
    unsafe first?.initializeMemory(as: UInt8.self, repeating: 7, count: bytes)
    expectOK(unsafe ek_buffer_give_back(first))
    var second: UnsafeMutableRawPointer?
    expectOK(unsafe ek_buffer_take(bytes, &second))
    #expect(unsafe first == second)
    unsafe ek_buffer_release(second)
    expectFault(EK_ERROR_INVALID_POINTER, unsafe ek_buffer_give_back(second))
    unsafe ek_buffer_release(second)
  }

  @Test func idleBuffersAreBounded() {
    var info = ek_buffers_info()
    expectOK(ek_buffers_empty(nil))
    expectOK(unsafe ek_buffers_get_info(&info))
    #expect(info.bytes_held == 0)
    let limit = info.limit
    expectOK(ek_buffers_set_limit(1 << 20))
    var buffers = unsafe [UnsafeMutableRawPointer?](repeating: nil, count: 40)
    for i in 0..<40 { expectOK(unsafe ek_buffer_take(100_000, &buffers[i])) }
    for i in 0..<40 { expectOK(unsafe ek_buffer_give_back(buffers[i])) }
    expectOK(unsafe ek_buffers_get_info(&info))
    #expect(info.bytes_held <= 1 << 20)
    #expect(info.bytes_held > 0)
    var released: UInt64 = 0
    expectOK(unsafe ek_buffers_empty(&released))
    #expect(released == info.bytes_held)
    expectOK(ek_buffers_set_limit(limit))
  }

  @Test func hugeBuffersAreRefused() {
    var buffer: UnsafeMutableRawPointer?
    expectFault(EK_ERROR_OUT_OF_MEMORY, unsafe ek_buffer_take(1 << 50, &buffer))
    expectFault(EK_ERROR_OUT_OF_MEMORY, unsafe ek_buffer_take(.max, &buffer))
    expectFault(EK_ERROR_OUT_OF_MEMORY, unsafe ek_buffer_take(-1, &buffer))
    expectFault(EK_ERROR_INVALID_POINTER, ek_buffer_take(64, nil))
  }

  // MARK: Handles

  @Test func endedHandlesAreKnown() {
    var table: OpaquePointer?
    expectOK(unsafe ek_table_create(3, 4, Int32(EK_DTYPE_FLOAT32), &table))
    var rotary: OpaquePointer?
    expectOK(unsafe ek_rotary_create(8, 0, 10_000, Int32(EK_LAYOUT_HALVES), &rotary))
    var rows: Int64 = 0
    expectOK(unsafe ek_table_get(table, nil, &rows, nil, nil))
    #expect(rows == 3)
    let others = unsafe [
      rotary, nil, OpaquePointer(bitPattern: 12_345), OpaquePointer(bitPattern: -1),
    ]
    for i in 0..<4 {
      let other = unsafe others[i]
      let told = expectFault(
        EK_ERROR_INVALID_HANDLE, unsafe ek_table_get(other, nil, nil, nil, nil))
      #expect(told.argument == "table")
      unsafe ek_table_destroy(other)
    }
    var info = ek_rotary_info()
    expectOK(unsafe ek_rotary_get(rotary, &info))
    unsafe ek_table_destroy(table)
    unsafe ek_table_destroy(table)
    expectFault(EK_ERROR_INVALID_HANDLE, unsafe ek_table_get(table, nil, nil, nil, nil))
    unsafe ek_rotary_destroy(rotary)
  }

  // MARK: Names

  @Test func headerAndSymbolsAgree() throws {
    let package = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let symbols = try String(
      contentsOf: package.appending(path: ".api/embedkernel.symbols"), encoding: .utf8
    ).split(separator: "\n").map(String.init)
    let header = try String(
      contentsOf: package.appending(path: "Sources/CEmbedKernel/include/embedkernel.h"),
      encoding: .utf8)
    let code = header.replacing(#/(?s)/\*.*?\*//#, with: "")
    let declared = Set(code.matches(of: #/\b(ek_[a-z0-9_]+)\s*\(/#).map { String($0.1) })
    #expect(symbols == declared.sorted())
  }
}
