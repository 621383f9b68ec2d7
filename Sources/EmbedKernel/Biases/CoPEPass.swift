// CoPE row by row: gates, the count from the last key to the first, and the products that the counts
// pick. Logits are of any element type; what is computed from them is in Double and Float.
//
// P positions, d head dim; gates g = sigmoid(logits), p_ij = sum of g_ik over keys k >= j that are of
// the query's document.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// A checked call: rows of logits `[rows, keys]`, a query's vector each.
@safe struct CoPEPass {
  let table: UnsafePointer<Float>
  let positions: Int
  let dim: Int
  let shape: AttentionShape
  let queryPlaces: Places
  let keyPlaces: Places
  let queries: UnsafePointer<Float>
  let logits: UnsafeMutableRawPointer
  let element: ElementType
  let plan: Plan

  var keys: Int { shape.keys }
  var rowCount: Int { shape.batch * shape.heads * shape.queries }

  /// The rows whose products fit the scratch together. They follow from the shape alone, so that threads,
  /// which take whole blocks, change no bit.
  var blockRows: Int { max(1, min(32, RelativeProducts.Scratch.count / positions)) }
  var blockCount: Int { (rowCount + blockRows - 1) / blockRows }

  /// Checks a call; nil where there are no logits.
  init?(
    _ kernels: Kernels, _ cope: CoPE, _ queryVectors: UnsafeBufferPointer<Float>,
    _ logits: Elements, _ shape: AttentionShape,
    _ queries: (ids: PositionIDs, places: Places), _ keys: (ids: PositionIDs, places: Places)
  ) throws(EmbedError) {
    let count = try shape.check()
    guard logits.count == count else {
      throw .wrongElementCount(
        argument: "logits", expected: count, shape: shape.dimensions, actual: logits.count)
    }
    let rows = try elementCount("query vectors", shape.batch, shape.heads, shape.queries)
    let expected = try elementCount("query vectors", rows, cope.table.dim)
    guard queryVectors.count == expected else {
      throw .wrongElementCount(
        argument: "query vectors", expected: expected,
        shape: [shape.batch, shape.heads, shape.queries, cope.table.dim],
        actual: queryVectors.count)
    }
    let bytes = count * logits.type.byteCount
    let written = unsafe Memory(logits.base, bytes)
    if written.overlaps(unsafe Memory(queryVectors.baseAddress, queryVectors.count * 4)) {
      throw .overlappingMemory(argument: "query vectors")
    }
    _ = try BiasPlaces(
      heads: nil, positions: nil, name: "CoPE", shape, queries.ids, keys.ids, queries.places,
      keys.places)
    plan = try Plan(
      kernels, outputBytes: bytes, rows: rows, dim: max(1, shape.keys))
    guard count > 0, let base = unsafe logits.base, let vectors = queryVectors.baseAddress else {
      return nil
    }
    unsafe table = UnsafePointer(cope.table.storage.base)
    positions = cope.table.rows
    dim = cope.table.dim
    self.shape = shape
    queryPlaces = queries.places
    keyPlaces = keys.places
    unsafe self.queries = vectors
    unsafe self.logits = UnsafeMutableRawPointer(mutating: base)
    element = logits.type
  }

  /// The address of row `row` of the logits.
  func row(_ row: Int) -> UnsafeMutableRawPointer {
    unsafe logits + row * keys * element.byteCount
  }

  /// products[r, p] = queries[first + r] · table[p]
  @inline(__always)
  func fillProducts(_ products: UnsafeMutablePointer<Float>, _ first: Int, _ count: Int) {
    unsafe plan.products(
      ProductTile(
        x: UnsafeMutablePointer(mutating: queries) + first * dim, xStride: dim, rows: count,
        table: UnsafeMutablePointer(mutating: table), tableStride: dim, entries: positions,
        dim: dim, products: products, stride: positions, scale: 1))
  }

  /// Calls `body` for the stretches of keys that row `row` counts: those of its document, without
  /// padding. A packed document is one stretch; left padding leaves one too.
  @inline(__always)
  func forEachSpan(_ row: Int, _ body: (Range<Int>) -> Void) {
    let (lane, column) = row.quotientAndRemainder(dividingBy: shape.queries)
    let batchRow = lane / shape.heads
    if case .sequential = queryPlaces, case .sequential = keyPlaces { return body(0..<keys) }
    queryPlaces.forEachStretch(
      row: batchRow, context: shape.queries, columns: column..<column + 1
    ) { query in
      guard query.group != Stretch.padding else { return }
      var (first, end) = (keys, 0)
      keyPlaces.forEachStretch(row: batchRow, context: shape.keys, columns: 0..<keys) { stretch in
        guard stretch.group == query.group else { return }
        first = min(first, stretch.column)
        end = max(end, stretch.column + stretch.count)
      }
      if first < end { body(first..<end) }
    }
  }

  /// Calls `body` for the logits of `span` in row `row` from the last to the first, with the whole
  /// position, the share of the next one, and the gate. The count is kept in Double.
  @inline(__always)
  func forEachLogit<Element: SIMDElement>(
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
  let pass: CoPEPass

  func run(_ range: Range<Int>) { Body(pass: pass, range: range).run(pass.element, .float32) }

  private struct Body: TypedBody {
    let pass: CoPEPass
    let range: Range<Int>

    func run<Element: SIMDElement, Other: SIMDElement>(
      _ element: Element.Type, _ other: Other.Type
    ) {
      var scratch = RelativeProducts.Scratch(repeating: 0)
      var span = scratch.mutableSpan
      let products = unsafe span.withUnsafeMutableBufferPointer {
        unsafe $0.baseAddress.unsafelyUnwrapped
      }
      let (positions, size) = (pass.positions, MemoryLayout<Element>.size)
      let blockRows = pass.blockRows
      let end = min(pass.rowCount, range.upperBound * blockRows)
      var first = range.lowerBound * blockRows
      while first < end {
        let count = min(blockRows, end - first)
        unsafe pass.fillProducts(products, first, count)
        for row in 0..<count {
          let mine = unsafe products + row * positions
          let logits = unsafe pass.row(first + row)
          pass.forEachSpan(first + row) { span in
            pass.forEachLogit(element, first + row, span) { key, place, share, _ in
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

/// The backward pass, row by row.
@safe struct CoPEGradient {
  let pass: CoPEPass
  /// Of the logits, of their type.
  let gradient: UnsafeMutableRawPointer
  let toQueries: UnsafeMutablePointer<Float>
  let toTable: UnsafeMutablePointer<Float>

  func run() { Body(work: self).run(pass.element, .float32) }

  private struct Body: TypedBody {
    let work: CoPEGradient

    func run<Element: SIMDElement, Other: SIMDElement>(
      _ element: Element.Type, _ other: Other.Type
    ) {
      for row in 0..<work.pass.rowCount {
        work.pass.forEachSpan(row) { work.add(element, row, $0) }
      }
    }
  }

  private func add<Element: SIMDElement>(
    _ element: Element.Type, _ row: Int, _ keys: Range<Int>
  ) {
    var scratch = RelativeProducts.Scratch(repeating: 0)
    var span = scratch.mutableSpan
    let sums = unsafe span.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    let (positions, dim, size) = (pass.positions, pass.dim, MemoryLayout<Element>.size)
    let mine = unsafe gradient + row * pass.keys * size
    // The gradient of each whole position's product, while the logits' own still stands.
    pass.forEachLogit(element, row, keys) { key, place, share, _ in
      let g = unsafe Element.load(mine + key &* size)
      unsafe sums[place] += g * (1 - share)
      unsafe sums[min(place + 1, positions - 1)] += g * share
    }
    let tile = unsafe ProductTile(
      x: toQueries + row * dim, xStride: dim, rows: 1,
      table: UnsafeMutablePointer(mutating: pass.table), tableStride: dim, entries: positions,
      dim: dim, products: sums, stride: positions, scale: 1)
    pass.plan.combine(tile)
    let outer = unsafe ProductTile(
      x: UnsafeMutablePointer(mutating: pass.queries) + row * dim, xStride: dim, rows: 1,
      table: toTable, tableStride: dim, entries: positions, dim: dim, products: sums,
      stride: positions, scale: 1)
    pass.plan.outer(outer)
    unsafe passThroughGates(element, row, keys, mine, sums)
  }

  /// A gate moves the positions of its own key and of all before it.
  private func passThroughGates<Element: SIMDElement>(
    _ element: Element.Type, _ row: Int, _ keys: Range<Int>, _ mine: UnsafeMutableRawPointer,
    _ products: UnsafeMutablePointer<Float>
  ) {
    let (positions, size) = (pass.positions, MemoryLayout<Element>.size)
    unsafe pass.fillProducts(products, row, 1)
    let logits = unsafe pass.row(row)
    // First the slope of each position, kept where the logits' gradient is, then its running sum.
    // Summing from the first key needs each position again, so the count runs down from its total.
    var total = 0.0
    for key in keys.reversed() { unsafe total += CoPEPass.gate(Element.load(logits + key * size)) }
    var (position, running) = (total, 0.0)
    for key in keys {
      let gate = unsafe CoPEPass.gate(Element.load(logits + key * size))
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
