// What a backend does for attention biases: add and sum along diagonals.

/// Rows of logits that take a table's entries, each row from one entry earlier.
@safe struct DistanceTile {
  /// The first logit.
  let logits: UnsafeMutablePointer<Float>
  /// The entry of the first logit; row r starts r entries before.
  let table: UnsafeMutablePointer<Float>
  let rows: Int
  let columns: Int
  /// Floats from one row of logits to the next.
  let stride: Int
  /// How many columns row 0 sees, row r sees r more; the rest becomes minus infinity. Large where
  /// all are seen, below 1 where row 0 sees none.
  let visible: Int
  /// Write rather than add.
  let overwrites: Bool

  /// The columns that row `row` sees.
  @inline(__always)
  func seen(_ row: Int) -> Int {
    visible >= columns ? columns : max(0, min(columns, visible + row))
  }
}

/// A backend's kernels for biases. All give the same bits.
protocol BiasKernels {
  /// for r in rows, j in columns seen: logits[r, j] += table[j - r]; the others: -infinity
  static func addByDistance(_ tile: DistanceTile, _ plan: Plan)

  /// for r in rows in order, j in columns seen: table[j - r] += logits[r, j]
  static func sumByDistance(_ tile: DistanceTile, _ plan: Plan)
}

extension Backend {
  @inline(__always)
  func addByDistance(_ tile: DistanceTile, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.addByDistance(tile, plan)
    case .simd: SIMDKernels.addByDistance(tile, plan)
    case .native: NativeKernels.addByDistance(tile, plan)
    }
  }

  @inline(__always)
  func sumByDistance(_ tile: DistanceTile, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.sumByDistance(tile, plan)
    case .simd: SIMDKernels.sumByDistance(tile, plan)
    case .native: NativeKernels.sumByDistance(tile, plan)
    }
  }
}
