// Rows of random bytes decoded by every instruction set, with the bits of plain loops; nothing is read past a
// row, nor past its scales.

import EmbedKernel
import EmbedRows
import Foundation
import TestSupport
import Testing

@Suite struct RowReferenceTests {
  @Test(arguments: RowFormat.allCases)
  func everySetHasTheReferencesBits(_ format: RowFormat) throws {
    var random = SeededGenerator(seed: 11)
    for dim in format.dims {
      let (rowBytes, scaleBytes) = (try format.rowBytes(dim: dim), try format.scaleBytes(dim: dim))
      let count = 6
      let bytes = random.bytes(count * rowBytes)
      let scales = random.bytes(count * scaleBytes)
      let expected = try format.reference(bytes, scales, rows: count, dim: dim)
      let memory = try GuardedMemory(bytes, scales)
      let table = try unsafe RowTable(
        rows: count, dim: dim, format: format, bytes: memory.first, scales: memory.second,
        of: memory)
      for kernels in Kernels.everySet {
        var output = [Float](repeating: 7, count: expected.count)
        try table.decode(0..<count, into: &output, using: kernels)
        expectSame(
          output, expected, "\(format), dim \(dim), \(kernels.instructionSet?.rawValue ?? "")")
      }
    }
  }

  /// 128 rows of a DeepSeek model share their scales; a tensor may have one scale for all.
  @Test func neighboursShareScales() throws {
    var random = SeededGenerator(seed: 12)
    let (rows, dim) = (300, 130)
    let bytes = random.bytes(rows * dim)
    func check(_ format: RowFormat, _ rowsAScale: Int, _ scales: [UInt8]) throws {
      let table = try RowTable(
        rows: rows, dim: dim, format: format, copying: bytes.span, scales: scales.span,
        rowsAScale: rowsAScale)
      let expected = try format.reference(
        bytes, scales, rows: rows, dim: dim, rowsAScale: rowsAScale)
      let decoded = try table.decoded()
      expectSame(decoded.span.array, expected, "\(format), \(rowsAScale) rows a scale")
      var rest = [Float](repeating: 0, count: 2 * dim)
      try table.decode(rows - 2..<rows, into: &rest)
      expectSame(rest, Array(expected.suffix(2 * dim)), "the last rows")
    }
    let floats: [Float] = (0..<6).map { Float($0) - 2.5 }
    let patterns = floats.flatMap { float in
      (0..<4).map { UInt8(truncatingIfNeeded: float.bitPattern >> ($0 * 8)) }
    }
    try check(.fp8Block128Float, 128, patterns)
    try check(.fp8Block128, 128, [127, 120, 0, 254, 255, 130])
    try check(.fp8Row, rows, Array(patterns.prefix(4)))
    try check(.int8, .max, Array(patterns.prefix(4)))
    #expect(
      throws: EmbedError.invalidSize(
        argument: "rows a scale", value: 100, expected: "a power of two, or all rows")
    ) { try check(.fp8Block128, 100, [127]) }
  }
}

/// Copies of two arrays, each of which ends where a page begins that can't be read.
@safe final class GuardedMemory: @unchecked Sendable {
  let first: UnsafeRawBufferPointer
  let second: UnsafeRawBufferPointer
  private let pages: [UnsafeMutableRawBufferPointer]

  init(_ first: [UInt8], _ second: [UInt8]) throws {
    var pages = unsafe [UnsafeMutableRawBufferPointer]()
    func guarded(_ bytes: [UInt8]) throws -> UnsafeRawBufferPointer {
      let page = Int(sysconf(Int32(_SC_PAGESIZE)))
      let size = (bytes.count + page - 1) / page * page
      let base = unsafe try #require(
        mmap(nil, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
      unsafe pages.append(UnsafeMutableRawBufferPointer(start: base, count: size + page))
      try #require(unsafe mprotect(base + size, page, PROT_NONE) == 0)
      let start = unsafe base + size - bytes.count
      for (i, byte) in bytes.enumerated() {
        unsafe start.storeBytes(of: byte, toByteOffset: i, as: UInt8.self)
      }
      return unsafe UnsafeRawBufferPointer(start: start, count: bytes.count)
    }
    unsafe (self.first, self.second) = (try guarded(first), try guarded(second))
    unsafe self.pages = pages
  }

  deinit {
    unsafe pages.forEach { _ = unsafe munmap($0.baseAddress, $0.count) }
  }
}
