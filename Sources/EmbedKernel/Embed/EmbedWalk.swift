// How a call is cut into loop nests over tokens. Position rows are the only data used more than once,
// so where all sequences share them a walk may go position by position with the sequences inside:
// a position row is read from memory once and from L1 by every other sequence.

package import CKernels

/// The way to cut a call; it depends on shape and positions alone.
@safe package struct EmbedWalk {
  enum Form {
    /// All sequences share their positions; a part is a range of columns.
    case columns
    /// All sequences share their positions; a part is a range of batch rows.
    case rows
    /// One long sequence with a position id each, or no positions.
    case flat
    /// Stretches of consecutive positions.
    case runs
  }

  package let call: EmbedCall
  let form: Form
  /// How many columns, rows or tokens there are to split.
  package let count: Int
  /// The position of column 0, or the positions of the columns or tokens.
  private let firstPosition: Int
  private let positionIDs: UnsafePointer<Int32>?

  @inline(__always)
  package init(_ call: EmbedCall) {
    let shape = call.shape
    guard unsafe call.positions != nil else {
      unsafe self.init(call, .flat)
      return
    }
    let rectangle = shape.context >= shape.batch ? Form.columns : .rows
    switch call.places {
    case .sequential(let offset): unsafe self.init(call, rectangle, offset)
    case .explicit(let ids, shared: true): unsafe self.init(call, rectangle, 0, ids)
    case .explicit(let ids, shared: false): unsafe self.init(call, .flat, 0, ids)
    case .offsets(let offsets) where shape.context == 1:
      // One token a sequence: the offsets are the tokens' positions.
      unsafe self.init(call, .flat, 0, offsets)
    case .offsets, .packed, .mask: unsafe self.init(call, .runs)
    }
  }

  @inline(__always)
  private init(
    _ call: EmbedCall, _ form: Form, _ firstPosition: Int = 0,
    _ positionIDs: UnsafePointer<Int32>? = nil
  ) {
    self.call = call
    self.form = form
    count =
      switch form {
      case .columns: call.shape.context
      case .rows: call.shape.batch
      case .flat, .runs: call.tokenCount
      }
    self.firstPosition = firstPosition
    unsafe self.positionIDs = positionIDs
  }

  /// Calls `body` with the nests of a range of columns, rows or tokens, and each one's first token.
  ///
  /// - Parameter byPosition: Whether a rectangle is walked position by position with the sequences
  ///   inside.
  @inline(__always)
  package func forEachTile(
    in range: Range<Int>, _ traffic: Traffic, byPosition: Bool,
    _ body: (_ first: Int, _ tile: ek_embed_tile) -> Void
  ) {
    let shape = call.shape
    switch form {
    case .columns: rectangle(0..<shape.batch, range, traffic, byPosition, body)
    case .rows: rectangle(range, 0..<shape.context, traffic, byPosition, body)
    case .flat:
      let ids = unsafe positionIDs.map { unsafe $0 + range.lowerBound }
      unsafe body(
        range.lowerBound, tile(range.lowerBound, inner: consecutive(range.count), 0, ids, traffic))
    case .runs:
      call.places.forEachRun(context: shape.context, in: range) { start, count, position in
        unsafe body(start, tile(start, inner: consecutive(count), position, nil, traffic))
      }
    }
  }

  @inline(__always)
  private func rectangle(
    _ rows: Range<Int>, _ columns: Range<Int>, _ traffic: Traffic, _ byPosition: Bool,
    _ body: (_ first: Int, _ tile: ek_embed_tile) -> Void
  ) {
    let column = columns.lowerBound
    let first = rows.lowerBound * call.shape.context + column
    let sequences = ek_loop(count: rows.count, tokens: call.shape.context, positions: 0)
    let places = consecutive(columns.count)
    let ids = unsafe positionIDs.map { unsafe $0 + column }
    let position = unsafe ids == nil ? firstPosition + column : 0
    unsafe body(
      first,
      tile(
        first, outer: byPosition ? places : sequences, inner: byPosition ? sequences : places,
        position, ids, traffic))
  }

  @inline(__always)
  private func consecutive(_ count: Int) -> ek_loop {
    ek_loop(count: count, tokens: 1, positions: 1)
  }

  @inline(__always)
  private func tile(
    _ first: Int, outer: ek_loop = ek_loop(count: 1, tokens: 0, positions: 0), inner: ek_loop,
    _ position: Int, _ positionIDs: UnsafePointer<Int32>?, _ traffic: Traffic
  ) -> ek_embed_tile {
    unsafe ek_embed_tile(
      tokens: call.tokens.assumingMemoryBound(to: Float.self),
      positions: call.positionRow(position)?.assumingMemoryBound(to: Float.self),
      position_ids: positionIDs, ids: call.ids.address(first), output: call.floats(first),
      outer: outer, inner: inner, dim: call.dim, prefetch_rows: traffic.prefetchRows,
      scale: call.options.scale, id_bytes: call.ids.isWide ? 8 : 4, streaming: traffic.streaming,
      near: traffic.isNear)
  }
}

/// A call in C, over threads: a range of its columns, rows or tokens a part.
struct EmbedWork: ParallelWork {
  private let walk: EmbedWalk
  private let plan: Plan

  @inline(__always)
  init(_ walk: EmbedWalk, _ plan: Plan) {
    self.walk = walk
    self.plan = plan
  }

  @inline(__always)
  func run() { Threads.split(walk.count, plan.threads, self) }

  func run(_ range: Range<Int>) {
    let (kernels, call) = unsafe (plan.kernels, walk.call)
    walk.forEachTile(in: range, plan.traffic, byPosition: plan.traffic.byPosition) { _, rows in
      var tile = ek_element_tile(rows: rows, input: call.input.code, output: call.written.code)
      unsafe kernels.pointee.embed(&tile)
    }
  }
}

extension ek_embed_tile {
  /// Calls `body(token, place)` for the tokens of the nest, counted from its first; places are steps
  /// from `positions`.
  @inline(__always)
  package func forEachToken(_ body: (_ token: Int, _ place: Int) -> Void) {
    let (outer, inner) = (outer, inner)
    for o in 0..<outer.count {
      for i in 0..<inner.count {
        body(o &* outer.tokens &+ i &* inner.tokens, o &* outer.positions &+ i &* inner.positions)
      }
    }
  }
}
