// CoPE: positions counted by content. A gate on each logit says whether its key counts, the number
// of counted keys from there to the query is its position, and the query against a trained vector
// of that position is added. Golovneva et al., "Contextual Position Encoding: Learning to Count
// What's Important", 2024; the form is that of x-transformers.
//
// P positions, d head dim; gates g = sigmoid(logits), p_ij = sum of g_ik over keys k >= j.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// The bias q_i · e[p_ij], p_ij at most P - 1, e interpolated between whole positions.
///
/// It reads the logits it is added to, so it has calls of its own. Masked logits are minus infinity
/// and count for nothing. A tile needs all keys that its queries see: the count runs from the last.
public final class CoPE: Sendable {
  /// e, shape `[positions, headDim]`.
  public let table: EmbeddingTable

  /// CoPE over `table`, which is shared, not copied.
  ///
  /// - Throws: `invalidSize` for more than 16,384 positions, whose products are kept on the stack.
  public init(table: EmbeddingTable) throws(EmbedError) {
    guard table.rows <= RelativeProducts.Scratch.count else {
      throw .invalidSize(
        argument: "positions", value: table.rows,
        expected: "1...\(RelativeProducts.Scratch.count)")
    }
    self.table = table
  }

  /// The number of parameters.
  public var parameterCount: Int { table.rows * table.dim }
}

/// A checked call: rows of logits `[rows, keys]`, a query's vector each.
@safe private struct CoPEPass: ParallelWork {
  let table: UnsafePointer<Float>
  let positions: Int
  let dim: Int
  let keys: Int
  let queries: UnsafePointer<Float>
  let logits: UnsafeMutablePointer<Float>
  let plan: Plan

  func run(_ range: Range<Int>) {
    var scratch = RelativeProducts.Scratch(repeating: 0)
    var span = scratch.mutableSpan
    let products = unsafe span.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    let together = max(1, min(32, RelativeProducts.Scratch.count / positions))
    var first = range.lowerBound
    while first < range.upperBound {
      let count = min(together, range.upperBound - first)
      unsafe fillProducts(products, first, count)
      for row in 0..<count {
        let mine = unsafe products + row * positions
        unsafe forEachLogit(logits + (first + row) * keys) { logit, place, share, _ in
          let (low, high) = unsafe (mine[place], mine[min(place + 1, positions - 1)])
          unsafe logit.pointee += high * share + low * (1 - share)
        }
      }
      first += count
    }
  }

  /// products[r, p] = queries[first + r] · table[p]
  @inline(__always)
  func fillProducts(_ products: UnsafeMutablePointer<Float>, _ first: Int, _ count: Int) {
    unsafe plan.backend.products(
      ProductTile(
        x: UnsafeMutablePointer(mutating: queries) + first * dim, xStride: dim, rows: count,
        table: UnsafeMutablePointer(mutating: table), tableStride: dim, entries: positions,
        dim: dim, products: products, stride: positions, scale: 1), plan)
  }

  /// Calls `body` for the logits of a row from the last to the first, with the whole position, the
  /// share of the next one, and the gate. The count is kept in Double.
  @inline(__always)
  func forEachLogit(
    _ row: UnsafeMutablePointer<Float>,
    _ body: (
      _ logit: UnsafeMutablePointer<Float>, _ place: Int, _ share: Float, _ gate: Double
    ) -> Void
  ) {
    var position = 0.0
    for key in stride(from: keys - 1, through: 0, by: -1) {
      let gate = unsafe 1 / (1 + exp(-Double(row[key])))
      position += gate.isNaN ? 0 : gate
      let limited = min(position, Double(positions - 1))
      let place = Int(limited)
      unsafe body(row + key, place, Float(limited - Double(place)), gate)
    }
  }
}

extension Kernels {
  /// Adds CoPE's bias to logits, which are masked already.
  ///
  /// - Parameters:
  ///   - queryVectors: Shape `[batch, heads, queries, headDim]`.
  ///   - logits: Shape `[batch, heads, queries, keys]`; masked ones are minus infinity.
  /// - Throws: `wrongElementCount`, `overlappingMemory`, `sizeOverflow`, before anything is written.
  public func addCoPE(
    _ cope: CoPE, queryVectors: Span<Float>, to logits: inout MutableSpan<Float>,
    shape: AttentionShape
  ) throws(EmbedError) {
    let written = unsafe logits.withUnsafeMutableBufferPointer { unsafe $0 }
    let read = unsafe queryVectors.withUnsafeBufferPointer { unsafe $0 }
    let rows = try unsafe checkCoPE(cope, UnsafeBufferPointer(written), read, shape)
    let plan = try Plan(
      self, outputBytes: written.count &* 4, rows: rows, dim: max(1, shape.keys), .inForce)
    guard let base = written.baseAddress, let queries = read.baseAddress, rows > 0 else { return }
    let pass = unsafe CoPEPass(
      table: UnsafePointer(cope.table.storage.base), positions: cope.table.rows,
      dim: cope.table.dim, keys: shape.keys, queries: queries, logits: base, plan: plan)
    Threads.split(rows, plan.threads, pass)
  }

  /// Adds CoPE's gradients, from the gradient of the logits after it was added.
  ///
  /// The gates pass a gradient to the logits they read, which is added to `logitsGradient` in place:
  /// afterwards it is the gradient of the logits before CoPE.
  ///
  /// - Parameters:
  ///   - logits: The logits before CoPE was added, shape `[batch, heads, queries, keys]`.
  ///   - logitsGradient: The same shape.
  ///   - gradient: Of the table, shape `[positions, headDim]`.
  ///   - queryGradient: Shape `[batch, heads, queries, headDim]`.
  /// - Complexity: One thread: the table's gradient is summed row by row, in order.
  public func addCoPEGradient(
    _ cope: CoPE, queryVectors: Span<Float>, logits: Span<Float>,
    logitsGradient: inout MutableSpan<Float>, shape: AttentionShape,
    into gradient: inout MutableSpan<Float>, queryGradient: inout MutableSpan<Float>
  ) throws(EmbedError) {
    let written = unsafe logitsGradient.withUnsafeMutableBufferPointer { unsafe $0 }
    let ofTable = unsafe gradient.withUnsafeMutableBufferPointer { unsafe $0 }
    let ofQueries = unsafe queryGradient.withUnsafeMutableBufferPointer { unsafe $0 }
    let read = unsafe queryVectors.withUnsafeBufferPointer { unsafe $0 }
    let before = unsafe logits.withUnsafeBufferPointer { unsafe $0 }
    let rows = try unsafe checkCoPE(cope, before, read, shape)
    let (positions, dim) = (cope.table.rows, cope.table.dim)
    for (name, count, expected) in [
      ("logits gradient", written.count, before.count),
      ("query gradient", ofQueries.count, read.count),
      ("parameter gradient", ofTable.count, positions * dim),
    ] where count != expected {
      throw .wrongElementCount(
        argument: name, expected: expected, shape: [expected], actual: count)
    }
    let plan = try Plan(
      self, outputBytes: written.count &* 4, rows: rows, dim: max(1, shape.keys), .inForce)
    guard let source = before.baseAddress, let base = written.baseAddress,
      let queries = read.baseAddress, let toQueries = ofQueries.baseAddress,
      let toTable = ofTable.baseAddress, rows > 0
    else { return }
    // The pass never writes the logits here: it walks them.
    let pass = unsafe CoPEPass(
      table: UnsafePointer(cope.table.storage.base), positions: positions, dim: dim,
      keys: shape.keys, queries: queries, logits: UnsafeMutablePointer(mutating: source),
      plan: plan)
    let work = unsafe CoPEGradient(
      pass: pass, gradient: base, toQueries: toQueries, toTable: toTable)
    for row in 0..<rows { work.run(row) }
  }

  private func checkCoPE(
    _ cope: CoPE, _ logits: UnsafeBufferPointer<Float>, _ queries: UnsafeBufferPointer<Float>,
    _ shape: AttentionShape
  ) throws(EmbedError) -> Int {
    let count = try shape.check()
    guard logits.count == count else {
      throw .wrongElementCount(
        argument: "logits", expected: count, shape: shape.dimensions, actual: logits.count)
    }
    let rows = try elementCount("query vectors", shape.batch, shape.heads, shape.queries)
    let expected = try elementCount("query vectors", rows, cope.table.dim)
    guard queries.count == expected else {
      throw .wrongElementCount(
        argument: "query vectors", expected: expected,
        shape: [shape.batch, shape.heads, shape.queries, cope.table.dim], actual: queries.count)
    }
    let written = unsafe Memory(logits.baseAddress, logits.count * 4)
    if written.overlaps(unsafe Memory(queries.baseAddress, queries.count * 4)) {
      throw .overlappingMemory(argument: "query vectors")
    }
    return shape.keys == 0 ? 0 : rows
  }
}

/// The backward pass, row by row.
@safe private struct CoPEGradient {
  let pass: CoPEPass
  let gradient: UnsafeMutablePointer<Float>
  let toQueries: UnsafeMutablePointer<Float>
  let toTable: UnsafeMutablePointer<Float>

  func run(_ row: Int) {
    var scratch = RelativeProducts.Scratch(repeating: 0)
    var span = scratch.mutableSpan
    let sums = unsafe span.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    let (positions, dim, keys) = (pass.positions, pass.dim, pass.keys)
    let mine = unsafe gradient + row * keys
    // The gradient of each whole position's product, while the logits' own still stands.
    unsafe pass.forEachLogit(pass.logits + row * keys) { logit, place, share, _ in
      let g = unsafe mine[logit - (pass.logits + row * keys)]
      unsafe sums[place] += g * (1 - share)
      unsafe sums[min(place + 1, positions - 1)] += g * share
    }
    let tile = unsafe ProductTile(
      x: toQueries + row * dim, xStride: dim, rows: 1,
      table: UnsafeMutablePointer(mutating: pass.table), tableStride: dim, entries: positions,
      dim: dim, products: sums, stride: positions, scale: 1)
    pass.plan.backend.combine(tile, pass.plan)
    let outer = unsafe ProductTile(
      x: UnsafeMutablePointer(mutating: pass.queries) + row * dim, xStride: dim, rows: 1,
      table: toTable, tableStride: dim, entries: positions, dim: dim, products: sums,
      stride: positions, scale: 1)
    pass.plan.backend.outer(outer, pass.plan)
    unsafe passThroughGates(row, mine, sums)
  }

  /// A gate moves the positions of its own key and of all before it.
  private func passThroughGates(
    _ row: Int, _ mine: UnsafeMutablePointer<Float>, _ products: UnsafeMutablePointer<Float>
  ) {
    let (positions, keys) = (pass.positions, pass.keys)
    unsafe pass.fillProducts(products, row, 1)
    let logits = unsafe pass.logits + row * keys
    // First the slope of each position, kept where the logits' gradient is, then its running sum.
    // Summing from the first key needs each position again, so the count runs down from its total.
    var total = 0.0
    for key in stride(from: keys - 1, through: 0, by: -1) {
      total += unsafe 1 / (1 + exp(-Double(logits[key])))
    }
    var (position, running) = (total, 0.0)
    for key in 0..<keys {
      let gate = unsafe 1 / (1 + exp(-Double(logits[key])))
      if position < Double(positions - 1) {
        let place = Int(max(0, position))
        let slope = unsafe products[min(place + 1, positions - 1)] - products[place]
        running += unsafe Double(mine[key]) * Double(slope)
      }
      unsafe mine[key] += Float(running * gate * (1 - gate))
      position -= gate
    }
  }
}
