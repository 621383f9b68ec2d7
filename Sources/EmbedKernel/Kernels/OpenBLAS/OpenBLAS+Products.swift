// Small matrix products on OpenBLAS: one `sgemm` each, on one thread, so that a tile's bits follow from
// its shape.

internal import COpenBLAS

extension OpenBLASKernels: ProductKernels {
  static func products(_ tile: ProductTile, _ plan: Plan) {
    unsafe multiply(
      StridedMatrix(tile.x, tile.rows, tile.dim, stride: tile.xStride),
      StridedMatrix(tile.table, tile.entries, tile.dim, stride: tile.tableStride).transposed,
      scale: tile.scale, .overwrite,
      StridedMatrix(tile.products, tile.rows, tile.entries, stride: tile.stride))
  }

  static func combine(_ tile: ProductTile, _ plan: Plan) {
    unsafe multiply(
      StridedMatrix(tile.products, tile.rows, tile.entries, stride: tile.stride),
      StridedMatrix(tile.table, tile.entries, tile.dim, stride: tile.tableStride),
      scale: tile.scale,
      .accumulate, StridedMatrix(tile.x, tile.rows, tile.dim, stride: tile.xStride))
  }

  static func outer(_ tile: ProductTile, _ plan: Plan) {
    unsafe multiply(
      StridedMatrix(tile.products, tile.rows, tile.entries, stride: tile.stride).transposed,
      StridedMatrix(tile.x, tile.rows, tile.dim, stride: tile.xStride), scale: tile.scale,
      .accumulate,
      StridedMatrix(tile.table, tile.entries, tile.dim, stride: tile.tableStride))
  }

  /// A plan that takes this backend has opened the library.
  private static func multiply(
    _ a: StridedMatrix, _ b: StridedMatrix, scale: Float, _ writing: GradientWriting,
    _ c: StridedMatrix
  ) {
    OneThreadedBLAS.runOpen { MatrixProduct.multiplyTile(a, b, scale: scale, writing, c) }
  }
}
