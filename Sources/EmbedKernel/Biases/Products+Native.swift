// Small matrix products on the C microkernels, for every backend.

internal import CMicrokernels

extension Plan {
  /// products = scale · x · tableᵀ
  func products(_ tile: ProductTile) {
    var c = unsafe ek_product_tile(tile)
    unsafe kernels.pointee.products_f32.unsafelyUnwrapped(&c)
  }

  /// x += scale · products · table
  func combine(_ tile: ProductTile) {
    var c = unsafe ek_product_tile(tile)
    unsafe kernels.pointee.combine_f32.unsafelyUnwrapped(&c)
  }

  /// table += scale · productsᵀ · x
  func outer(_ tile: ProductTile) {
    var c = unsafe ek_product_tile(tile)
    unsafe kernels.pointee.outer_f32.unsafelyUnwrapped(&c)
  }
}

extension ek_product_tile {
  fileprivate init(_ tile: ProductTile) {
    unsafe self.init(
      x: tile.x, x_stride: tile.xStride, rows: tile.rows, table: tile.table,
      table_stride: tile.tableStride, entries: tile.entries, dim: tile.dim,
      products: tile.products, stride: tile.stride, scale: tile.scale)
  }
}
