// What the tests of rows share: every instruction set and way to run a call, and comparing bits.

import EmbedKernel
import EmbedRows
import Foundation
import ReferenceKernels
import TestSupport
import Testing

extension Kernels {
  /// The C kernels of each instruction set of this machine.
  static let everySet = InstructionSet.allCases.filter(\.isAvailable).map {
    Kernels(backend: .native, instructionSet: $0)
  }

  /// Every backend and instruction set, on one thread and three, with sizes as they are and as if they were
  /// large: prefetched, streamed past the cache, split over threads.
  static let everyWay: [Kernels] = {
    var large = Tuning()
    (large.parallelBytes, large.streamingBytes, large.prefetchBytes) = (0, 0, 0)
    return ([.auto, .openBLAS, .simd] + everySet).flatMap { kernels in
      [1, 3].flatMap { threads in
        var asIfLarge = kernels.threads(threads)
        asIfLarge.tuning = large
        return [kernels.threads(threads), asIfLarge]
      }
    }
  }()
}

extension RowFormat {
  /// Widths around a step of columns, blocks and lines, as far as the format has them.
  var dims: [Int] {
    switch block {
    case 1: [1, 7, 31, 32, 33, 64, 100, 130, 300]
    case 4: [4, 28, 32, 36, 64, 100, 300]
    case 32: [32, 64, 96, 288]
    default: [256, 512]
    }
  }

  /// The rows as plain loops decode them.
  func reference(
    _ bytes: [UInt8], _ scales: [UInt8], rows: Int, dim: Int, rowsAScale: Int = 1
  ) throws -> [Float] {
    let (rowBytes, scaleBytes) = (try rowBytes(dim: dim), try scaleBytes(dim: dim))
    var elements: [Float] = []
    for row in 0..<rows {
      let (first, scale) = (row * rowBytes, row / rowsAScale * scaleBytes)
      elements += Reference.decodeRow(
        rawValue, Array(bytes[first..<first + rowBytes]),
        Array(scales[scale..<scale + scaleBytes]), dim: dim)
    }
    return elements
  }

  /// Formats that scale.
  static let quantised = allCases.filter { ![.float32, .float16, .bfloat16].contains($0) }
}

/// Expects equal bits, any NaN being as good as any other, and names the first element that differs.
func expectSame(_ actual: [Float], _ expected: [Float], _ what: @autoclosure () -> String) {
  guard actual.count == expected.count else {
    Issue.record("\(what()): \(actual.count) elements instead of \(expected.count)")
    return
  }
  for i in 0..<actual.count
  where actual[i].bitPattern != expected[i].bitPattern && !(actual[i].isNaN && expected[i].isNaN) {
    Issue.record("\(what()): element \(i) is \(actual[i]) instead of \(expected[i])")
    return
  }
}

/// Expects equal bytes.
func expectSame(_ actual: [UInt8], _ expected: [UInt8], _ what: @autoclosure () -> String) {
  guard actual.count == expected.count else {
    Issue.record("\(what()): \(actual.count) bytes instead of \(expected.count)")
    return
  }
  for i in 0..<actual.count where actual[i] != expected[i] {
    Issue.record("\(what()): byte \(i) is \(actual[i]) instead of \(expected[i])")
    return
  }
}

extension Span where Element: BitwiseCopyable {
  /// A copy.
  var array: [Element] { indices.map { self[$0] } }
}

extension SeededGenerator {
  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
  }
}
