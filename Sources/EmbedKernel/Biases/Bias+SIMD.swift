// Biases by distance in pure Swift: 16 floats a step. 16-bit logits go to C's portable kernels.

internal import CKernels

extension SIMDKernels: DistanceKernels {
  static func addByDistance(_ tile: ek_distance_tile, _ plan: Plan) {
    guard unsafe tile.element == EK_F32 else {
      return unsafe NativeKernels.addByDistance(tile, plan)
    }
    let (rows, columns, stride) = unsafe (tile.rows, tile.columns, tile.stride)
    var (logits, table) = unsafe (tile.floats(0), tile.table.unsafelyUnwrapped)
    let overwrites = unsafe tile.overwrite
    for row in 0..<rows {
      let seen = unsafe tile.seen(row)
      if overwrites {
        unsafe logits.update(from: table, count: seen)
      } else {
        unsafe addRow(table, to: logits, seen)
      }
      if seen < columns {
        unsafe (logits + seen).update(repeating: -.infinity, count: columns - seen)
      }
      unsafe logits += stride
      unsafe table -= 1
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

  /// y[:] += x[:]
  @inline(__always)
  private static func addRow(
    _ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let vectorised = count & ~15
    var i = 0
    while i < vectorised {
      let sum = unsafe vector(y, i) + vector(x, i)
      unsafe UnsafeMutableRawPointer(y + i).storeBytes(of: sum, as: SIMD16<Float>.self)
      i &+= 16
    }
    while i < count {
      unsafe y[i] += x[i]
      i &+= 1
    }
  }

  @inline(__always)
  private static func vector(_ row: UnsafePointer<Float>, _ i: Int) -> SIMD16<Float> {
    unsafe UnsafeRawPointer(row + i).loadUnaligned(as: SIMD16<Float>.self)
  }
}
