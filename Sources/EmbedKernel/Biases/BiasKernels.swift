// What a backend does for attention biases: add and sum along diagonals.

/// Rows of logits that take a table's entries, each row from one entry earlier.
@safe struct DistanceTile {
  /// The first logit, of type `element`.
  let logits: UnsafeMutableRawPointer
  let element: ElementType
  /// The entry of the first logit; row r starts r entries before.
  let table: UnsafeMutablePointer<Float>
  let rows: Int
  let columns: Int
  /// Logits from one row to the next.
  let stride: Int
  /// How many columns row 0 sees, row r sees r more; the rest becomes minus infinity. Large where
  /// all are seen, below 1 where row 0 sees none.
  let visible: Int
  /// Write rather than add.
  let overwrites: Bool

  /// A tile of logits of type `element`.
  @inline(__always)
  init(
    logits: UnsafeMutableRawPointer, element: ElementType = .float32,
    table: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int, visible: Int,
    overwrites: Bool
  ) {
    unsafe self.logits = logits
    self.element = element
    unsafe self.table = table
    self.rows = rows
    self.columns = columns
    self.stride = stride
    self.visible = visible
    self.overwrites = overwrites
  }

  /// The columns that row `row` sees.
  @inline(__always)
  func seen(_ row: Int) -> Int {
    visible >= columns ? columns : max(0, min(columns, visible + row))
  }

  /// The first logit of row `row`, where logits are floats.
  @inline(__always)
  func floats(_ row: Int) -> UnsafeMutablePointer<Float> {
    unsafe logits.assumingMemoryBound(to: Float.self) + row &* stride
  }

  /// The first logit of row `row`, whatever their type.
  @inline(__always)
  func address(_ row: Int) -> UnsafeMutableRawPointer {
    unsafe logits + row &* stride &* element.byteCount
  }
}

/// A backend's kernels for biases. All give the same bits.
protocol BiasKernels {
  /// for r in rows, j in columns seen: logits[r, j] += table[j - r]; the others: -infinity
  ///
  /// Two-byte logits are widened, added to as floats, and rounded once.
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
