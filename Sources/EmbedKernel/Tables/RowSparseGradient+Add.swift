// Adding row-sparse gradients, as when several micro-batches make one step.

extension RowSparseGradient {
  /// Adds another gradient of the same table: lists the rows of both, and the sums of their values.
  ///
  ///     self[r, :] = self[r, :] + factor * other[r, :]
  ///
  /// A row that only one of the two lists is copied (other's times `factor`). The sum is written
  /// beside the old values, and the two memories change places: after the first call this holds
  /// twice the memory, and allocates only where a sum lists more rows than any before.
  ///
  /// - Parameters:
  ///   - factor: Multiplies `other`, each product rounded on its own.
  ///   - threads: How many threads may take part; nil for as many as the rows gain from. The result
  ///     does not depend on it.
  /// - Throws: `invalidSize` for another table's sizes, `invalidValue` for a factor that is not
  ///   finite, `outOfMemory`; the gradient is then as it was.
  /// - Complexity: O(rows listed · D). Each listed row is read and written once.
  public mutating func add(
    _ other: borrowing RowSparseGradient, times factor: Float = 1, threads: Int? = nil
  ) throws(EmbedError) {
    guard other.rows == rows else {
      throw .invalidSize(
        argument: "rows of the gradient to add", value: other.rows, expected: "\(rows)")
    }
    guard other.dim == dim else {
      throw .invalidSize(
        argument: "dim of the gradient to add", value: other.dim, expected: "\(dim)")
    }
    guard factor.isFinite else {
      throw .invalidValue(argument: "factor", value: Double(factor), expected: "a finite number")
    }
    let union = unsafe unionCount(rowIDMemory, count, other.rowIDMemory, other.count)
    try reserveSpare(union)
    let work = unsafe Addition(
      a: Addition.Part(rows: rowIDMemory, values: valueMemory, count: count),
      b: Addition.Part(rows: other.rowIDMemory, values: other.valueMemory, count: other.count),
      rows: spareRowMemory, values: spareValueMemory, dim: dim, factor: factor)
    let total = count + other.count
    let parts = total * dim < 1 << 16 ? 1 : threads ?? Threads.available
    Threads.split(total, parts, work)
    exchangeSpare(count: union)
  }
}

/// The number of different rows of two rising lists.
private func unionCount(
  _ a: UnsafePointer<Int32>, _ aCount: Int, _ b: UnsafePointer<Int32>, _ bCount: Int
) -> Int {
  var (i, j, common) = (0, 0, 0)
  while i < aCount, j < bCount {
    let (x, y) = unsafe (a[i], b[j])
    common &+= x == y ? 1 : 0
    i &+= x <= y ? 1 : 0
    j &+= y <= x ? 1 : 0
  }
  return aCount + bCount - common
}

/// A merge of two sorted lists of rows. A part is a range of the merged order in which a row of `a`
/// comes just before the same row of `b`: where it begins in either list is found by bisection, and
/// where its sums go by counting the rows that both list before it.
@safe private struct Addition: ParallelWork {
  @safe struct Part {
    let rows: UnsafePointer<Int32>
    let values: UnsafePointer<Float>
    let count: Int
  }

  let a: Part
  let b: Part
  let rows: UnsafeMutablePointer<Int32>
  let values: UnsafeMutablePointer<Float>
  let dim: Int
  let factor: Float

  func run(_ range: Range<Int>) {
    var i = firstOfA(range.lowerBound)
    var j = range.lowerBound - i
    // A row of b whose twin in a belongs to the part before belongs there too.
    if i > 0, j < b.count, unsafe a.rows[i - 1] == b.rows[j] { j += 1 }
    var out = unsafe unionCount(a.rows, i, b.rows, j)
    while i &+ j < range.upperBound {
      let fromA = unsafe i < a.count && (j == b.count || a.rows[i] <= b.rows[j])
      let fromB = unsafe j < b.count && (i == a.count || b.rows[j] <= a.rows[i])
      unsafe rows[out] = fromA ? a.rows[i] : b.rows[j]
      unsafe write(
        out, fromA ? a.values + i &* dim : nil, fromB ? b.values + j &* dim : nil)
      i &+= fromA ? 1 : 0
      j &+= fromB ? 1 : 0
      out &+= 1
    }
  }

  /// How many of the first `place` rows of the merged order are a's.
  private func firstOfA(_ place: Int) -> Int {
    // a's row comes before b's where they are equal.
    (max(0, place - b.count)..<min(place, a.count)).partitionPoint {
      unsafe a.rows[$0] > b.rows[place - $0 - 1]
    }
  }

  @inline(__always)
  private func write(_ row: Int, _ a: UnsafePointer<Float>?, _ b: UnsafePointer<Float>?) {
    let to = unsafe values + row &* dim
    if let a = unsafe a, let b = unsafe b {
      for k in 0..<dim { unsafe to[k] = a[k] + factor * b[k] }
    } else if let a = unsafe a {
      unsafe to.update(from: a, count: dim)
    } else if let b = unsafe b {
      for k in 0..<dim { unsafe to[k] = factor * b[k] }
    }
  }
}
