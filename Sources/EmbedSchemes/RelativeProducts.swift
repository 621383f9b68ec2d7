// Products of queries (or keys) with rows of a table that distances choose: the work that all
// content-dependent schemes share. No tensor of heads x queries x keys x dim is made: products of a
// few queries with a few hundred rows fit on the stack, and each logit picks its own from there.
//
// m queries of a block, r rows of the table, d head dim, delta = key position - query position.

internal import CKernels
internal import EmbedKernel

/// Which row of a table each delta takes: rising or falling with delta, none outside a range.
final class RelativeIndex: Sendable {
  /// The deltas that take a row.
  let deltas: ClosedRange<Int>
  private let table: ReachTable<Int32>

  /// An index by the formula `row`, called for `deltas` alone.
  init(
    deltas: ClosedRange<Int> = -Int(Int32.max)...Int(Int32.max),
    _ row: @escaping @Sendable (_ delta: Int) -> Int
  ) {
    self.deltas = deltas
    table = ReachTable(rows: 1) { snapshot in
      let reach = snapshot.reach
      for place in 0..<reach.count {
        let delta = place - reach.past
        unsafe snapshot.values.unsafeBuffer[place] = deltas.contains(delta) ? Int32(row(delta)) : -1
      }
    }
  }

  func cover(_ reach: BiasReach) throws(EmbedError) { try table.cover(reach) }

  /// The row of delta 0; `cover(_:)` says how far to both sides may be read.
  var origin: UnsafePointer<Int32> { unsafe UnsafePointer(table.newest.origin()) }
}

/// One head's table and the index into it.
@safe struct RelativeProducts {
  let table: UnsafePointer<Float>
  /// Floats from one row to the next.
  let stride: Int
  let dim: Int
  /// The row of each delta, from delta 0; nil where delta itself is the row, counted from `table`.
  let index: UnsafePointer<Int32>?
  let deltas: ClosedRange<Int>
  let scale: Float

  /// Products on the stack: 32 queries by 512 rows, 64 KiB.
  typealias Scratch = InlineArray<16384, Float>

  static let scratchRows = 512

  /// Gives `body` zeros on the stack, which it must not keep.
  @inline(__always)
  static func withScratch(_ body: (UnsafeMutablePointer<Float>) -> Void) {
    var scratch = Scratch(repeating: 0)
    var span = scratch.mutableSpan
    unsafe span.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress.unsafelyUnwrapped) }
  }

  /// The rows that deltas `low...high` take; nil for none.
  @inline(__always)
  private func rows(_ low: Int, _ high: Int) -> (first: Int, count: Int)? {
    let (low, high) = (max(low, deltas.lowerBound), min(high, deltas.upperBound))
    guard low <= high else { return nil }
    guard let index = unsafe index else { return (low, high - low + 1) }
    let (a, b) = unsafe (Int(index[low]), Int(index[high]))
    return (min(a, b), abs(a - b) + 1)
  }

  /// logits[i, j] += scale · queries[i] · table[index[key j - query i]]
  func add(_ block: BiasBlock, queries: UnsafePointer<Float>) {
    unsafe RelativeProducts.withScratch { products in
      forEachChunk(block) { keys, first, count in
        unsafe block.plan.products(tile(queries, block.queries.count, first, count, products))
        for (row, query) in block.queries.enumerated() {
          let logits = unsafe block.logits + (row * block.stride - block.keys.lowerBound)
          let mine = unsafe products + (row * count - first)
          let seen = visibleKeys(keys, query, block.isCausal)
          if let index = unsafe index {
            let index = unsafe index - query
            for key in seen { unsafe logits[key] += mine[Int(index[key])] }
          } else {
            for key in seen { unsafe logits[key] += mine[key &- query] }
          }
        }
      }
    }
  }

  /// From the gradient g of the logits:
  /// queryGradient[i] += scale · g[i, j] · table[...] and tableGradient[...] += scale · g · queries[i]
  func addGradient(
    _ block: BiasBlock, queries: UnsafePointer<Float>?,
    queryGradient: UnsafeMutablePointer<Float>?, tableGradient: UnsafeMutablePointer<Float>?
  ) {
    unsafe RelativeProducts.withScratch { products in
      forEachChunk(block) { keys, first, count in
        unsafe products.update(repeating: 0, count: block.queries.count * count)
        for (row, query) in block.queries.enumerated() {
          let gradient = unsafe block.logits + (row * block.stride - block.keys.lowerBound)
          let mine = unsafe products + (row * count - first)
          let seen = visibleKeys(keys, query, block.isCausal)
          if let index = unsafe index {
            let index = unsafe index - query
            for key in seen { unsafe mine[Int(index[key])] += gradient[key] }
          } else {
            for key in seen { unsafe mine[key &- query] += gradient[key] }
          }
        }
        unsafe addProducts(
          tile(queries, block.queries.count, first, count, products), first: first,
          vectorGradient: queryGradient, tableGradient: tableGradient, block.plan)
      }
    }
  }

  /// The products of `count` vectors with `rowCount` rows of the table.
  private func tile(
    _ x: UnsafePointer<Float>?, _ count: Int, _ first: Int, _ rowCount: Int,
    _ products: UnsafeMutablePointer<Float>
  ) -> ek_product_tile {
    unsafe ek_product_tile(
      x: UnsafeMutablePointer(mutating: x), x_stride: dim, rows: count,
      table: UnsafeMutablePointer(mutating: table) + first * stride, table_stride: stride,
      entries: rowCount, dim: dim, products: products, stride: rowCount, scale: scale)
  }

  /// Takes the products to the gradients of the vectors and of the table's rows.
  private func addProducts(
    _ tile: ek_product_tile, first: Int, vectorGradient: UnsafeMutablePointer<Float>?,
    tableGradient: UnsafeMutablePointer<Float>?, _ plan: Plan
  ) {
    var tile = unsafe tile
    let x = unsafe tile.x
    if let vectorGradient = unsafe vectorGradient {
      unsafe tile.x = vectorGradient
      unsafe plan.combine(tile)
    }
    if let tableGradient = unsafe tableGradient, unsafe x != nil {
      unsafe tile.x = x
      unsafe tile.table = tableGradient + first * dim
      unsafe tile.table_stride = dim
      unsafe plan.outer(tile)
    }
  }

  @inline(__always)
  private func rowOf(_ delta: Int) -> Int { unsafe index.map { unsafe Int($0[delta]) } ?? delta }

  /// The keys of `keys` that `query` sees and that take a row.
  @inline(__always)
  private func visibleKeys(_ keys: Range<Int>, _ query: Int, _ isCausal: Bool) -> Range<Int> {
    let low = max(keys.lowerBound, query + deltas.lowerBound)
    let high = min(
      keys.upperBound, query + (isCausal ? min(0, deltas.upperBound) : deltas.upperBound) + 1)
    return low..<max(low, high)
  }

  /// Cuts the block's keys so that the rows they take fit the scratch.
  @inline(__always)
  private func forEachChunk(
    _ block: BiasBlock, _ body: (_ keys: Range<Int>, _ firstRow: Int, _ rowCount: Int) -> Void
  ) {
    let width = Self.scratchRows - block.queries.count + 1
    var key = block.keys.lowerBound
    while key < block.keys.upperBound {
      let end = min(block.keys.upperBound, key + width)
      if let (first, count) = rows(
        key - (block.queries.upperBound - 1), end - 1 - block.queries.lowerBound)
      {
        body(key..<end, first, count)
      }
      key = end
    }
  }
}

extension RelativeProducts {
  /// logits[i, j] += scale · keys[j] · table[index[key j - query i]]
  func addByKey(_ block: BiasBlock, keys: UnsafePointer<Float>) {
    unsafe RelativeProducts.withScratch { products in
      forEachKeyChunk(block) { part, first, count in
        let start = unsafe keys + (part.lowerBound - block.keys.lowerBound) * dim
        unsafe block.plan.products(tile(start, part.count, first, count, products))
        for (row, query) in block.queries.enumerated() {
          let logits = unsafe block.logits + (row * block.stride - block.keys.lowerBound)
          for key in visibleKeys(part, query, block.isCausal) {
            let mine = unsafe products + ((key - part.lowerBound) * count - first)
            unsafe logits[key] += mine[rowOf(key - query)]
          }
        }
      }
    }
  }

  /// The gradients of `addByKey`.
  func addGradientByKey(
    _ block: BiasBlock, keys: UnsafePointer<Float>, keyGradient: UnsafeMutablePointer<Float>?,
    tableGradient: UnsafeMutablePointer<Float>
  ) {
    unsafe RelativeProducts.withScratch { products in
      forEachKeyChunk(block) { part, first, count in
        unsafe products.update(repeating: 0, count: part.count * count)
        for (row, query) in block.queries.enumerated() {
          let gradient = unsafe block.logits + (row * block.stride - block.keys.lowerBound)
          for key in visibleKeys(part, query, block.isCausal) {
            let mine = unsafe products + ((key - part.lowerBound) * count - first)
            unsafe mine[rowOf(key - query)] += gradient[key]
          }
        }
        let start = (part.lowerBound - block.keys.lowerBound) * dim
        unsafe addProducts(
          tile(keys + start, part.count, first, count, products), first: first,
          vectorGradient: keyGradient.map { unsafe $0 + start }, tableGradient: tableGradient,
          block.plan)
      }
    }
  }

  /// Cuts the block's keys into as many as a block has queries at most.
  @inline(__always)
  private func forEachKeyChunk(
    _ block: BiasBlock, _ body: (_ keys: Range<Int>, _ firstRow: Int, _ rowCount: Int) -> Void
  ) {
    var key = block.keys.lowerBound
    while key < block.keys.upperBound {
      let end = min(block.keys.upperBound, key + BiasBlocks.rows)
      if let (first, count) = rows(
        key - (block.queries.upperBound - 1), end - 1 - block.queries.lowerBound)
      {
        body(key..<end, first, count)
      }
      key = end
    }
  }
}
