// The one operation that backward is made of: a sum of gathered rows, written once, with each row
// optionally passed on alone to where a row that occurs once belongs.

/// output[:] (+)= factor * sum of rows[indices[i], :], and
/// passed[destinations[indices[i]], :] (+)= passFactor * rows[indices[i], :].
@safe struct RowSum {
  /// Row r is at `rows + r * stride`.
  var rows: UnsafePointer<Float>
  /// Laid out like `rows`; a compensated sum adds them to its correction.
  var corrections: UnsafePointer<Float>?
  /// The rows, `count` of them; nil for `0..<count`.
  var indices: UnsafePointer<Int32>?
  /// 1 or more.
  var count: Int
  /// How far apart the indices are, where they are evenly spaced; 0 where they are not.
  var indexStep = 0
  /// The rows to prefetch, one for each row summed.
  var ahead: UnsafePointer<Int32>?
  var aheadCount = 0
  /// The output row of a sum to come, to prefetch.
  var aheadOutput: UnsafePointer<Float>?
  /// Floats from row to row, of `passed` too.
  var stride: Int
  /// Floats of a row.
  var width: Int
  var output: UnsafeMutablePointer<Float>
  /// Where a compensated sum leaves its correction; nil: added to the sum.
  var correctionOutput: UnsafeMutablePointer<Float>?
  var factor: Float
  var accumulates: Bool
  var streaming: Bool
  var order: Order
  /// Where rows go on to, by row; negative for nowhere. Only where the order is left to right.
  var destinations: UnsafePointer<Int32>?
  var passed: UnsafeMutablePointer<Float>?
  var passFactor: Float = 1
  var passAccumulates = false
  var passStreaming = false

  /// The order of additions, which every backend keeps.
  enum Order {
    /// From the first row to the last.
    case leftToRight
    /// Leaves of so many rows left to right, then sums of adjacent leaves, and of these.
    case tree(leaf: Int)
    /// Left to right, with the rounding errors summed beside and added at the end.
    case compensated
  }
}
