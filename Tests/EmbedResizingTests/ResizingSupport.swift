// Copies of elements, for comparing.

import EmbedKernel
import Testing

/// The elements of a table.
func elements(_ table: EmbeddingTable<Float>) -> [Float] { unsafe Array(table.unsafeBuffer) }

extension AlignedBuffer where Element == Float {
  /// A copy.
  var elements: [Float] { unsafe Array(unsafeBuffer) }
}

/// Expects the same bits of both.
func expectSameBits(_ actual: [Float], _ expected: [Float], _ what: Comment) {
  #expect(actual.map(\.bitPattern) == expected.map(\.bitPattern), what)
}
