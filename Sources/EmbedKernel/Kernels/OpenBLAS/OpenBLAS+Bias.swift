// Biases by distance on OpenBLAS: a `cblas_saxpy` of the shifted table row for each row of logits.
// BLAS computes with floats alone, so stretches of two-byte logits are widened to the stack first.

internal import COpenBLAS

extension OpenBLASKernels: BiasKernels {
  static func addByDistance(_ tile: DistanceTile, _ plan: Plan) {
    guard tile.element == .float32 else { return unsafe forEachStretch(tile, addStretch) }
    for row in 0..<tile.rows {
      let logits = unsafe tile.floats(row)
      let table = unsafe tile.table - row
      let seen = tile.seen(row)
      if tile.overwrites {
        unsafe ek_blas_scopy(Int32(seen), table, 1, logits, 1)
      } else {
        unsafe ek_blas_saxpy(Int32(seen), 1, table, 1, logits, 1)
      }
      unsafe (logits + seen).update(repeating: -.infinity, count: tile.columns - seen)
    }
  }

  static func sumByDistance(_ tile: DistanceTile, _ plan: Plan) {
    guard tile.element == .float32 else { return unsafe forEachStretch(tile, sumStretch) }
    for row in 0..<tile.rows {
      unsafe ek_blas_saxpy(
        Int32(tile.seen(row)), 1, tile.floats(row), 1, tile.table - row, 1)
    }
  }

  private typealias Stretch = (
    _ tile: DistanceTile, _ floats: UnsafeMutablePointer<Float>, _ row: Int, _ column: Int,
    _ count: Int
  ) -> Void

  /// Calls `body` for stretches of rows, with floats for each.
  @inline(__always)
  private static func forEachStretch(_ tile: DistanceTile, _ body: Stretch) {
    unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: 256) { floats in
      let floats = unsafe floats.baseAddress.unsafelyUnwrapped
      for row in 0..<tile.rows {
        for column in stride(from: 0, to: tile.columns, by: 256) {
          unsafe body(tile, floats, row, column, min(256, tile.columns - column))
        }
      }
    }
  }

  private static func addStretch(
    _ tile: DistanceTile, _ floats: UnsafeMutablePointer<Float>, _ row: Int, _ column: Int,
    _ count: Int
  ) {
    let logits = unsafe tile.address(row) + column * tile.element.byteCount
    let table = unsafe tile.table + (column - row)
    let seen = max(0, min(count, tile.seen(row) - column))
    if tile.overwrites {
      unsafe ek_blas_scopy(Int32(seen), table, 1, floats, 1)
    } else {
      unsafe PortableConversion(from: logits, to: floats, count: seen)
        .run(tile.element, .float32)
      unsafe ek_blas_saxpy(Int32(seen), 1, table, 1, floats, 1)
    }
    unsafe (floats + seen).update(repeating: -.infinity, count: count - seen)
    unsafe PortableConversion(from: floats, to: logits, count: count).run(.float32, tile.element)
  }

  private static func sumStretch(
    _ tile: DistanceTile, _ floats: UnsafeMutablePointer<Float>, _ row: Int, _ column: Int,
    _ count: Int
  ) {
    let logits = unsafe tile.address(row) + column * tile.element.byteCount
    let seen = max(0, min(count, tile.seen(row) - column))
    unsafe PortableConversion(from: logits, to: floats, count: seen).run(tile.element, .float32)
    unsafe ek_blas_saxpy(Int32(seen), 1, floats, 1, tile.table + (column - row), 1)
  }
}
