// A product of a table's rows on OpenBLAS, outside a call.

internal import COpenBLAS

extension OpenBLASKernels {
  /// products = scale · x · tableᵀ
  static func products(_ tile: ProductTile) {
    unsafe cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, blasint(tile.rows), blasint(tile.entries),
      blasint(tile.dim), tile.scale, tile.x, blasint(tile.xStride), tile.table,
      blasint(tile.tableStride), 0, tile.products, blasint(tile.stride))
  }
}
