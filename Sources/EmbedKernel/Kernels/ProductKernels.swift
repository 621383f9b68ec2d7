// Small matrix products for content-dependent biases: a block's vectors against rows of a table.
//
// m vectors x, n entries of the table, d dim.

/// Vectors `[rows, dim]`, entries `[entries, dim]` and their products `[rows, entries]`.
@safe struct ProductTile {
  let x: UnsafeMutablePointer<Float>
  let xStride: Int
  let rows: Int
  let table: UnsafeMutablePointer<Float>
  let tableStride: Int
  let entries: Int
  let dim: Int
  let products: UnsafeMutablePointer<Float>
  let stride: Int
  let scale: Float
}

/// A backend's small products. Backends sum in different orders, so their bits differ.
protocol ProductKernels {
  /// products = scale · x · tableᵀ
  static func products(_ tile: ProductTile, _ plan: Plan)
  /// x += scale · products · table
  static func combine(_ tile: ProductTile, _ plan: Plan)
  /// table += scale · productsᵀ · x
  static func outer(_ tile: ProductTile, _ plan: Plan)
}

extension Backend {
  func products(_ tile: ProductTile, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.products(tile, plan)
    case .simd: SIMDKernels.products(tile, plan)
    case .native: NativeKernels.products(tile, plan)
    }
  }

  func combine(_ tile: ProductTile, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.combine(tile, plan)
    case .simd: SIMDKernels.combine(tile, plan)
    case .native: NativeKernels.combine(tile, plan)
    }
  }

  func outer(_ tile: ProductTile, _ plan: Plan) {
    switch self {
    case .openBLAS: OpenBLASKernels.outer(tile, plan)
    case .simd: SIMDKernels.outer(tile, plan)
    case .native: NativeKernels.outer(tile, plan)
    }
  }
}
