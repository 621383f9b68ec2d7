// Small matrix products on OpenBLAS: one `cblas_sgemm` each.

internal import COpenBLAS

extension OpenBLASKernels: ProductKernels {
  static func products(_ tile: ProductTile, _ plan: Plan) { products(tile) }

  /// The same outside a call.
  static func products(_ tile: ProductTile) {
    unsafe cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasTrans, blasint(tile.rows), blasint(tile.entries),
      blasint(tile.dim), tile.scale, tile.x, blasint(tile.xStride), tile.table,
      blasint(tile.tableStride), 0, tile.products, blasint(tile.stride))
  }

  static func combine(_ tile: ProductTile, _ plan: Plan) {
    unsafe cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(tile.rows), blasint(tile.dim),
      blasint(tile.entries), tile.scale, tile.products, blasint(tile.stride), tile.table,
      blasint(tile.tableStride), 1, tile.x, blasint(tile.xStride))
  }

  static func outer(_ tile: ProductTile, _ plan: Plan) {
    unsafe cblas_sgemm(
      CblasRowMajor, CblasTrans, CblasNoTrans, blasint(tile.entries), blasint(tile.dim),
      blasint(tile.rows), tile.scale, tile.products, blasint(tile.stride), tile.x,
      blasint(tile.xStride), 1, tile.table, blasint(tile.tableStride))
  }
}
