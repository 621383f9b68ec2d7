// Small matrix products for content-dependent biases: a block's vectors against rows of a table, in C for
// every backend: instruction sets sum in different orders, so their bits differ.
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
