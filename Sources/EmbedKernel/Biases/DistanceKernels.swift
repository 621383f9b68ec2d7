// Biases by distance as backends compute them: add or sum along diagonals. The C record is the one
// that all backends take; 16-bit logits go to C's kernels whatever the backend.

internal import CKernels

/// A backend's kernels for biases. All give the same bits.
protocol DistanceKernels {
  /// for r in rows, j in columns seen: logits[r, j] += table[j - r]; the others: -infinity
  ///
  /// 16-bit logits are widened, added to as floats, and rounded once.
  static func addByDistance(_ tile: ek_distance_tile, _ plan: Plan)

  /// for r in rows in order, j in columns seen: table[j - r] += logits[r, j]
  static func sumByDistance(_ tile: ek_distance_tile, _ plan: Plan)
}

/// A backend that adds vectors of floats, row by row; 16-bit logits go to C's portable kernels.
protocol RowDistanceKernels: DistanceKernels {
  /// y[:] += x[:]
  static func addRow(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ count: Int)
}

extension RowDistanceKernels {
  static func addByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    guard unsafe tile.element == EK_F32 else {
      return unsafe NativeKernels.addByDistance(tile, plan)
    }
    let (rows, columns, stride) = unsafe (tile.rows, tile.columns, tile.stride)
    var (logits, entries) = unsafe (tile.floats(0), tile.table.unsafelyUnwrapped)
    for row in 0..<rows {
      let seen = unsafe tile.seen(row)
      if unsafe tile.overwrite {
        unsafe logits.update(from: entries, count: seen)
      } else {
        unsafe addRow(entries, to: logits, seen)
      }
      if seen < columns {
        unsafe (logits + seen).update(repeating: -.infinity, count: columns - seen)
      }
      unsafe logits += stride
      unsafe entries -= 1
    }
  }

  static func sumByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    guard unsafe tile.element == EK_F32 else {
      return unsafe NativeKernels.sumByDistance(tile, plan)
    }
    for row in unsafe 0..<tile.rows {
      unsafe addRow(tile.floats(row), to: tile.table - row, tile.seen(row))
    }
  }
}

extension ek_distance_tile {
  /// The columns that row `row` sees.
  @inline(__always)
  func seen(_ row: Int) -> Int {
    unsafe visible >= columns ? columns : max(0, min(columns, visible + row))
  }

  /// The first logit of row `row`, where logits are floats.
  @inline(__always)
  func floats(_ row: Int) -> UnsafeMutablePointer<Float> {
    unsafe logits.assumingMemoryBound(to: Float.self) + row &* stride
  }
}

extension BiasBlock {
  /// logits[i, j] += entries[key j - query i], with the causal mask.
  ///
  /// - Parameter entries: The entry of a key at its query's position; those of all distances in the
  ///   block stand around it.
  public func addByDistance(_ entries: UnsafeMutablePointer<Float>) {
    unsafe plan.backend.kernels.addByDistance(tile(entries, overwrite: overwrites), plan)
  }

  @inline(__always)
  fileprivate func tile(
    _ entries: UnsafeMutablePointer<Float>, overwrite: Bool
  ) -> ek_distance_tile {
    let delta = keys.lowerBound - queries.lowerBound
    return unsafe ek_distance_tile(
      logits: logits, table: entries + delta, rows: queries.count, columns: keys.count,
      stride: stride, visible: isCausal ? 1 - delta : .max, overwrite: overwrite, element: EK_F32)
  }
}

extension BiasGradientBlock {
  /// sums[key j - query i] += gradient[i, j] for the keys that each query sees.
  ///
  /// - Parameter sums: The sum of a key at its query's position, likewise.
  public func sumByDistance(_ sums: UnsafeMutablePointer<Float>) {
    unsafe block.plan.backend.kernels.sumByDistance(
      block.tile(sums, overwrite: false), block.plan)
  }
}
