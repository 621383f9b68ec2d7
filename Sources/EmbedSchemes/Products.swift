// Small matrix products for biases that read vectors: a block's vectors against rows of a table, in C
// for every backend: instruction sets sum in different orders, so their bits differ.

internal import CKernels
internal import EmbedKernel

extension Plan {
  /// products = scale · x · tableᵀ
  func products(_ tile: ek_product_tile) {
    var tile = unsafe tile
    unsafe kernels.pointee.products(&tile)
  }

  /// x += scale · products · table
  func combine(_ tile: ek_product_tile) {
    var tile = unsafe tile
    unsafe kernels.pointee.combine(&tile)
  }

  /// table += scale · productsᵀ · x
  func outer(_ tile: ek_product_tile) {
    var tile = unsafe tile
    unsafe kernels.pointee.outer(&tile)
  }
}
