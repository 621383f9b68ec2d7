// CoPE row by row: gates, the count from the last key to the first, and the products that the counts
// pick. Logits are of any element type; what is computed from them is in Double and Float.
//
// P positions, d head dim; gates g = sigmoid(logits), p_ij = sum of g_ik over keys k >= j that are of
// the query's document.

internal import CKernels
internal import CSystem
internal import EmbedKernel

/// The rows `[rows, keys]` of a checked call, a query's vector each.
@safe struct CoPERows {
  let call: AttentionCall
  let queries: UnsafePointer<Float>
  let table: UnsafePointer<Float>
  let positions: Int
  let dim: Int

  /// The rows of a call; nil where it has no vectors.
  init?(_ call: AttentionCall, _ cope: CoPE) {
    guard let queries = unsafe call.vectors.queries?.baseAddress else { return nil }
    self.call = call
    unsafe self.queries = queries
    unsafe table = UnsafePointer(cope.table.unsafeBuffer.baseAddress.unsafelyUnwrapped)
    positions = cope.table.rows
    dim = cope.table.dim
  }

  var count: Int { call.shape.batch * call.shape.heads * call.shape.queries }

  /// The rows whose products fit the scratch together. They follow from the shape alone, so that threads,
  /// which take whole blocks, change no bit.
  var blockRows: Int { max(1, min(32, RelativeProducts.Scratch.count / positions)) }
  var blockCount: Int { (count + blockRows - 1) / blockRows }

  /// The address of row `row` of the logits.
  func row(_ row: Int) -> UnsafeMutableRawPointer {
    unsafe call.logits + row * call.shape.keys * call.element.byteCount
  }

  /// Rows of vectors `x` against rows of `entries`, by way of `products`.
  @inline(__always)
  func tile(
    _ x: UnsafePointer<Float>, _ first: Int, _ count: Int, _ entries: UnsafePointer<Float>,
    _ products: UnsafeMutablePointer<Float>
  ) -> ek_product_tile {
    unsafe ek_product_tile(
      x: UnsafeMutablePointer(mutating: x) + first * dim, x_stride: dim, rows: count,
      table: UnsafeMutablePointer(mutating: entries), table_stride: dim, entries: positions,
      dim: dim, products: products, stride: positions, scale: 1)
  }

  /// Calls `body` for the stretches of keys that row `row` counts: those of its document, without
  /// padding. A packed document is one stretch; left padding leaves one too.
  @inline(__always)
  func forEachSpan(_ row: Int, _ body: (Range<Int>) -> Void) {
    let shape = call.shape
    let (lane, column) = row.quotientAndRemainder(dividingBy: shape.queries)
    let batchRow = lane / shape.heads
    if call.queries.isSequential && call.keys.isSequential { return body(0..<shape.keys) }
    call.queries.forEachStretch(
      row: batchRow, context: shape.queries, columns: column..<column + 1
    ) { query in
      guard query.group != Stretch.padding else { return }
      var (first, end) = (shape.keys, 0)
      call.keys.forEachStretch(row: batchRow, context: shape.keys, columns: 0..<shape.keys) {
        guard $0.group == query.group else { return }
        first = min(first, $0.column)
        end = max(end, $0.column + $0.count)
      }
      if first < end { body(first..<end) }
    }
  }

  /// Calls `body` for the logits of `span` in row `row` from the last to the first, with the whole
  /// position, the share of the next one, and the gate. The count is kept in Double.
  @inline(__always)
  func forEachLogit<Element: StoredElement>(
    _ type: Element.Type, _ row: Int, _ span: Range<Int>,
    _ body: (_ key: Int, _ place: Int, _ share: Float, _ gate: Double) -> Void
  ) {
    let logits = unsafe self.row(row)
    var position = 0.0
    for key in span.reversed() {
      let gate = unsafe Self.gate(Element.load(logits + key &* MemoryLayout<Element>.size))
      position += gate
      let limited = min(position, Double(positions - 1))
      let place = Int(saturating: limited)
      body(key, place, Float(limited - Double(place)), gate)
    }
  }

  /// The gate of a logit; one that is not a number counts for nothing.
  @inline(__always)
  static func gate(_ logit: Float) -> Double {
    let gate = 1 / (1 + exp(-Double(logit)))
    return gate.isNaN ? 0 : gate
  }
}

/// The forward pass.
struct CoPEForward: ParallelWork {
  let rows: CoPERows

  func run(_ range: Range<Int>) { Body(rows: rows, range: range).run(rows.call.element, .float32) }

  private struct Body: ElementBody {
    let rows: CoPERows
    let range: Range<Int>

    func run<Element: StoredElement, Other: StoredElement>(
      _ element: Element.Type, _ other: Other.Type
    ) {
      unsafe RelativeProducts.withScratch { products in
        let (positions, size) = (rows.positions, MemoryLayout<Element>.size)
        let blockRows = rows.blockRows
        let end = min(rows.count, range.upperBound * blockRows)
        var first = range.lowerBound * blockRows
        while first < end {
          let count = min(blockRows, end - first)
          unsafe rows.call.plan.products(
            rows.tile(rows.queries, first, count, rows.table, products))
          for row in 0..<count {
            let mine = unsafe products + row * positions
            let logits = unsafe rows.row(first + row)
            rows.forEachSpan(first + row) { span in
              rows.forEachLogit(element, first + row, span) { key, place, share, _ in
                let (low, high) = unsafe (mine[place], mine[min(place + 1, positions - 1)])
                let address = unsafe logits + key &* size
                unsafe Element.store(
                  Element.load(address) + (high * share + low * (1 - share)), address)
              }
            }
          }
          first += count
        }
      }
    }
  }
}

/// The backward pass, row by row.
@safe struct CoPEGradient {
  let rows: CoPERows
  /// Of the logits, of their type.
  let gradient: UnsafeMutableRawPointer
  let toQueries: UnsafeMutablePointer<Float>
  let toTable: UnsafeMutablePointer<Float>

  func run() { Body(work: self).run(rows.call.element, .float32) }

  private struct Body: ElementBody {
    let work: CoPEGradient

    func run<Element: StoredElement, Other: StoredElement>(
      _ element: Element.Type, _ other: Other.Type
    ) {
      for row in 0..<work.rows.count {
        work.rows.forEachSpan(row) { work.add(element, row, $0) }
      }
    }
  }

  private func add<Element: StoredElement>(
    _ element: Element.Type, _ row: Int, _ keys: Range<Int>
  ) {
    unsafe RelativeProducts.withScratch { sums in
      let (positions, size) = (rows.positions, MemoryLayout<Element>.size)
      let mine = unsafe gradient + row * rows.call.shape.keys * size
      // The gradient of each whole position's product, while the logits' own still stands.
      rows.forEachLogit(element, row, keys) { key, place, share, _ in
        let g = unsafe Element.load(mine + key &* size)
        unsafe sums[place] += g * (1 - share)
        unsafe sums[min(place + 1, positions - 1)] += g * share
      }
      unsafe rows.call.plan.combine(rows.tile(toQueries, row, 1, rows.table, sums))
      unsafe rows.call.plan.outer(rows.tile(rows.queries, row, 1, toTable, sums))
      unsafe passThroughGates(element, row, keys, mine, sums)
    }
  }

  /// A gate moves the positions of its own key and of all before it.
  private func passThroughGates<Element: StoredElement>(
    _ element: Element.Type, _ row: Int, _ keys: Range<Int>, _ mine: UnsafeMutableRawPointer,
    _ products: UnsafeMutablePointer<Float>
  ) {
    let (positions, size) = (rows.positions, MemoryLayout<Element>.size)
    unsafe rows.call.plan.products(rows.tile(rows.queries, row, 1, rows.table, products))
    let logits = unsafe rows.row(row)
    // First the slope of each position, kept where the logits' gradient is, then its running sum.
    // Summing from the first key needs each position again, so the count runs down from its total.
    var total = 0.0
    for key in keys.reversed() { unsafe total += CoPERows.gate(Element.load(logits + key * size)) }
    var (position, running) = (total, 0.0)
    for key in keys {
      let gate = unsafe CoPERows.gate(Element.load(logits + key * size))
      let g = unsafe Element.load(mine + key * size)
      if position < Double(positions - 1) {
        let place = Int(saturating: max(0, position))
        let slope = unsafe products[min(place + 1, positions - 1)] - products[place]
        running += Double(g) * Double(slope)
      }
      unsafe Element.store(g + Float(running * gate * (1 - gate)), mine + key * size)
      position -= gate
    }
  }
}
