// The streams of one seed, so that no two parts of a model draw the same numbers.

/// Which stream each part draws from.
package enum RandomStream {
  package static let tokens: UInt64 = 0
  static let positions: UInt64 = 1
  package static let addedRows: UInt64 = 2
  /// The first of the streams that round moments: two a step.
  static let moments: UInt64 = 1 << 62
  /// The first of the dropout masks' streams: one a step.
  static let dropout: UInt64 = 1 << 63
}
