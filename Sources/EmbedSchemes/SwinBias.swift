// Swin's bias: tokens stand in a window of a picture, and each difference of rows and columns has a
// trained number for each head. Liu et al., "Swin Transformer: Hierarchical Vision Transformer using
// Shifted Windows", 2021.
//
// A window of M rows and N columns; position p is row p / N, column p % N.

public import EmbedKernel

/// A trained number for each difference in two dimensions and each head.
///
/// For a query, the keys of one row of the window take consecutive numbers, so a row of logits is
/// M vector additions. Windows are a batch's rows.
@safe public final class SwinBias: TrainedBias, @unchecked Sendable {
  /// The window's rows.
  public let rows: Int
  /// The window's columns.
  public let columns: Int
  /// The numbers, shape `[(2·rows - 1)·(2·columns - 1), heads]`; the row of a query and a key is
  /// (query row - key row + rows - 1)·(2·columns - 1) + query column - key column + columns - 1.
  public let weights: EmbeddingTable<Float>

  /// The same by head, rising with the key: `[heads, 2·rows - 1, 2·columns - 1]`.
  private let byHead: AlignedBuffer<Float>

  /// A bias over `weights`, which is shared; a copy in another order is made, `refresh()` makes it
  /// again.
  ///
  /// - Throws: `invalidSize` for an empty window, or where the weights have other rows;
  ///   `outOfMemory`.
  public init(rows: Int, columns: Int, weights: EmbeddingTable<Float>) throws(EmbedError) {
    for (name, size) in [("window rows", rows), ("window columns", columns)]
    where size < 1 || size > 1 << 15 {
      throw .invalidSize(argument: name, value: size, expected: "1...\(1 << 15)")
    }
    let count = (2 * rows - 1) * (2 * columns - 1)
    guard weights.rows == count else {
      throw .invalidSize(
        argument: "rows of Swin's table", value: weights.rows, expected: "\(count)")
    }
    self.rows = rows
    self.columns = columns
    self.weights = weights
    byHead = try AlignedBuffer(count: elementCount("Swin's table", count, weights.dim))
    refresh()
  }

  /// `swin`.
  public var name: String { "swin" }
  /// The columns of the weights.
  public var heads: Int? { weights.dim }
  /// The places of the window.
  public var positions: Int? { rows * columns }
  /// All weights.
  public var parameterCount: Int { weights.rows * weights.dim }

  /// Copies the weights again, after training moved them. No other thread may use the bias meanwhile.
  public func refresh() {
    let count = weights.rows
    for head in 0..<weights.dim {
      for i in 0..<count {
        // Both differences change sign, which turns the table round.
        unsafe byHead.unsafeBuffer[head * count + i] =
          weights.unsafeBuffer[(count - 1 - i) * weights.dim + head]
      }
    }
  }

  /// The weight of the two differences.
  public func value(head: Int, query: Int, key: Int) -> Double {
    let (qy, qx) = query.quotientAndRemainder(dividingBy: columns)
    let (ky, kx) = key.quotientAndRemainder(dividingBy: columns)
    let row = (qy - ky + rows - 1) * (2 * columns - 1) + qx - kx + columns - 1
    return Double(weights[row, head])
  }

  /// Calls `body(column, count, place)` for the stretches of a row's keys in one row of the window:
  /// `place` is the first one's in a head's turned table.
  @inline(__always)
  private func forEachStretch(
    query: Int, keys: Range<Int>, _ body: (_ column: Int, _ count: Int, _ place: Int) -> Void
  ) {
    let (qy, qx) = query.quotientAndRemainder(dividingBy: columns)
    var key = keys.lowerBound
    while key < keys.upperBound {
      let (ky, kx) = key.quotientAndRemainder(dividingBy: columns)
      let count = min(columns - kx, keys.upperBound - key)
      let place = (ky - qy + rows - 1) * (2 * columns - 1) + kx - qx + columns - 1
      body(key - keys.lowerBound, count, place)
      key += count
    }
  }

  /// Adds the turned table's rows.
  public func add(_ block: BiasBlock) {
    let table = unsafe byHead.base + block.head * weights.rows
    for (row, query) in block.queries.enumerated() {
      let logits = unsafe block.logits(row)
      forEachStretch(query: query, keys: block.keys) { column, count, place in
        for i in 0..<count { unsafe logits[column + i] += table[place + i] }
      }
    }
  }

  /// A head's turned table.
  public func sumCount(_ reach: BiasReach) -> Int { weights.rows }

  /// Sums the gradient into the turned table.
  public func addGradient(_ block: BiasGradientBlock) {
    for (row, query) in block.queries.enumerated() {
      let gradient = unsafe block.gradient(row)
      let keys = block.keys.lowerBound..<block.keys.lowerBound + block.visible(row)
      forEachStretch(query: query, keys: keys) { column, count, place in
        for i in 0..<count { unsafe block.sums[place + i] += gradient[column + i] }
      }
    }
  }

  /// Turns the sums back into the weights' order.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    for i in 0..<weights.rows {
      unsafe gradient[(weights.rows - 1 - i) * weights.dim + head] += sums[i]
    }
  }
}
