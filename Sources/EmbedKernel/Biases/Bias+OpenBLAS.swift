// Biases by distance on OpenBLAS: a `cblas_saxpy` of the shifted table row for each row of logits.
// BLAS computes with floats alone: 16-bit logits go to C's portable kernels.

internal import CBLASCalls
internal import CKernels

extension OpenBLASKernels: DistanceKernels {
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
        unsafe ek_blas_scopy(Int32(seen), table, 1, logits, 1)
      } else {
        unsafe ek_blas_saxpy(Int32(seen), 1, table, 1, logits, 1)
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
      unsafe ek_blas_saxpy(
        Int32(tile.seen(row)), 1, tile.floats(row), 1, tile.table - row, 1)
    }
  }
}
