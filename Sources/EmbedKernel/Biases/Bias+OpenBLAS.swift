// Biases by distance on OpenBLAS: a `cblas_saxpy` of the shifted table row for each row of logits.
// BLAS computes with floats alone: two-byte logits go to C's portable kernels.

internal import CBLASCalls

extension OpenBLASKernels: BiasKernels {
  static func addByDistance(_ tile: DistanceTile, _ plan: Plan) {
    guard tile.element == .float32 else { return NativeKernels.addByDistance(tile, plan) }
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
    guard tile.element == .float32 else { return NativeKernels.sumByDistance(tile, plan) }
    for row in 0..<tile.rows {
      unsafe ek_blas_saxpy(
        Int32(tile.seen(row)), 1, tile.floats(row), 1, tile.table - row, 1)
    }
  }
}
