// The one binary search.

extension Range<Int> {
  /// The first index at which `holds` does, or the range's end; it holds from there on.
  ///
  /// - Complexity: O(log n) calls.
  @inlinable @inline(__always)
  package func partitionPoint(_ holds: (Int) -> Bool) -> Int {
    var (low, high) = (lowerBound, upperBound)
    while low < high {
      let middle = low &+ (high &- low) / 2
      if holds(middle) { high = middle } else { low = middle &+ 1 }
    }
    return low
  }
}
