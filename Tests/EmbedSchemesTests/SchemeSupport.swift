// What the tests of schemes share.

import Foundation
import TestSupport
import Testing

/// Where the fixtures of these tests are, and of EmbedKernel's.
enum Fixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "Fixtures")
  static let ofEmbedKernel = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "EmbedKernelTests/Fixtures")
}

/// Expects equal bits, and names the first element that differs.
func expectSameBits(_ actual: [Float], _ expected: [Float], _ what: @autoclosure () -> String) {
  guard actual.count == expected.count else {
    Issue.record("\(what()): \(actual.count) elements instead of \(expected.count)")
    return
  }
  for (i, (a, e)) in zip(actual, expected).enumerated() where a.bitPattern != e.bitPattern {
    Issue.record("\(what()): element \(i) is \(a) instead of \(e)")
    return
  }
}

/// The largest difference over the largest size.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
  guard actual.count == expected.count else { return .infinity }
  let size = expected.reduce(0) { max($0, abs($1)) }
  let difference = zip(actual, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
  return size == 0 ? difference : difference / size
}

/// Normal-like values in -2...2, the same for the same seed.
func drawn(_ count: Int, seed: UInt64) -> [Float] {
  var random = SeededGenerator(seed: seed)
  return (0..<count).map { _ in Float.random(in: -2...2, using: &random) }
}
