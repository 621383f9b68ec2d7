// Transformer-XL's term block by block: products with the projected rows, a height for each
// distance, and a height for each key.

internal import CKernels
public import EmbedKernel

extension TransformerXLBias {
  private typealias KeyHeights = InlineArray<512, Float>

  private func products(_ head: Int) -> RelativeProducts {
    unsafe RelativeProducts(
      table: UnsafePointer(rows.newest.origin(head)), stride: dim, dim: dim, index: nil,
      deltas: -Int(Int32.max)...Int(Int32.max), scale: Float(scale))
  }

  /// One vector against a block's keys, by way of `products`.
  private func keyTile(
    _ x: UnsafeMutablePointer<Float>, _ keys: UnsafeMutablePointer<Float>, _ count: Int,
    _ products: UnsafeMutablePointer<Float>
  ) -> ek_product_tile {
    unsafe ek_product_tile(
      x: x, x_stride: dim, rows: 1, table: keys, table_stride: dim, entries: count, dim: dim,
      products: products, stride: count, scale: Float(scale))
  }

  /// Adds the three terms.
  public func add(_ block: BiasBlock) {
    guard let queries = unsafe block.queryVectors, let keys = unsafe block.keyVectors else {
      return
    }
    unsafe products(block.head).add(block, queries: queries)
    unsafe block.addByDistance(heights.newest.origin(block.head))
    unsafe forEachKeyChunk(block.keys.count) { start, count, heights in
      let tile = unsafe keyTile(
        contentBias.storage.base + block.head * dim,
        UnsafeMutablePointer(mutating: keys) + start * dim, count, heights)
      unsafe block.plan.products(tile)
      for row in 0..<block.queries.count {
        let logits = unsafe block.logits + (row * block.stride + start)
        for i in 0..<count { unsafe logits[i] += heights[i] }
      }
    }
  }

  @inline(__always)
  private func forEachKeyChunk(
    _ count: Int,
    _ body: (_ start: Int, _ count: Int, _ heights: UnsafeMutablePointer<Float>) -> Void
  ) {
    var scratch = KeyHeights(repeating: 0)
    var span = scratch.mutableSpan
    let heights = unsafe span.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    for start in stride(from: 0, to: count, by: KeyHeights.count) {
      unsafe body(start, min(KeyHeights.count, count - start), heights)
    }
  }

  /// For a head: the gradient of u, the gradient by distance, and that of each projected row.
  public func sumCount(_ reach: BiasReach) -> Int { dim + reach.count + reach.count * dim }

  /// Sums the gradients of the parameters, the queries and the keys.
  public func addGradient(_ block: BiasGradientBlock) {
    let (inner, reach) = (block.block, block.reach)
    guard let queries = unsafe inner.queryVectors, let keys = unsafe inner.keyVectors else {
      return
    }
    let byDistance = unsafe block.sums + dim
    unsafe products(block.head).addGradient(
      inner, queries: queries, queryGradient: block.queryGradient,
      tableGradient: byDistance + reach.count + reach.past * dim)
    unsafe block.sumByDistance(byDistance + reach.past)
    unsafe forEachKeyChunk(block.keys.count) { start, count, columnSums in
      unsafe columnSums.update(repeating: 0, count: count)
      for row in 0..<block.queries.count {
        let gradient = unsafe block.gradient(row)
        for i in start..<max(start, min(start + count, block.visible(row))) {
          unsafe columnSums[i - start] += gradient[i]
        }
      }
      let toBias = unsafe keyTile(
        block.sums, UnsafeMutablePointer(mutating: keys) + start * dim, count, columnSums)
      unsafe inner.plan.combine(toBias)
      if let keyGradient = unsafe block.keyGradient {
        let toKeys = unsafe keyTile(
          contentBias.storage.base + block.head * dim, keyGradient + start * dim, count,
          columnSums)
        unsafe inner.plan.outer(toKeys)
      }
    }
  }

  /// Turns the head's sums into the gradients of u, v and W.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    let (heads, model) = (contentBias.rows, projection.dim)
    let (bias, byDistance, ofRows) = unsafe (
      sums.baseAddress.unsafelyUnwrapped, sums.baseAddress.unsafelyUnwrapped + dim,
      sums.baseAddress.unsafelyUnwrapped + dim + reach.count
    )
    let u = unsafe gradient.baseAddress.unsafelyUnwrapped + head * dim
    let v = unsafe u + heads * dim
    let w = unsafe gradient.baseAddress.unsafelyUnwrapped + 2 * heads * dim + head * dim * model
    let projected = unsafe rows.newest.origin(head)
    let source = unsafe sinusoids.newest.origin()
    for i in 0..<dim { unsafe u[i] += bias[i] }
    for place in 0..<reach.count {
      let delta = place - reach.past
      let weight = unsafe Float(scale) * byDistance[place]
      for i in 0..<dim {
        unsafe v[i] += weight * projected[delta * dim + i]
        let ofRow = unsafe ofRows[place * dim + i] + weight * positionBias[head, i]
        guard ofRow != 0 else { continue }
        for m in 0..<model { unsafe w[i * model + m] += ofRow * source[delta * model + m] }
      }
    }
  }
}
