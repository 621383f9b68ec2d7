// Small matrix products on the C microkernels.

internal import CMicrokernels

extension NativeKernels: ProductKernels {
  static func products(_ tile: ProductTile, _ plan: Plan) {
    var c = unsafe ek_product_tile(tile)
    unsafe plan.kernels.pointee.products_f32.unsafelyUnwrapped(&c)
  }

  static func combine(_ tile: ProductTile, _ plan: Plan) {
    var c = unsafe ek_product_tile(tile)
    unsafe plan.kernels.pointee.combine_f32.unsafelyUnwrapped(&c)
  }

  static func outer(_ tile: ProductTile, _ plan: Plan) {
    var c = unsafe ek_product_tile(tile)
    unsafe plan.kernels.pointee.outer_f32.unsafelyUnwrapped(&c)
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
