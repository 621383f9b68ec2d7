// How a pass is cut into tiles: which way it is walked follows from its positions, and what is done
// with a tile is the visitor's business.

/// What is done with each tile of a pass.
protocol TileVisitor {
  func visit(_ tile: EmbedTile, _ plan: Plan)
}

/// The way to cut a pass; it depends on shape and positions alone.
@safe struct TileWalk {
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

  let form: Form
  /// How many columns, rows or tokens there are to split.
  let count: Int
  let positions: UnsafePointer<Float>?
  let positionIDs: UnsafePointer<Int32>?

  @inline(__always)
  init(_ pass: EmbedCall) {
    let shape = pass.shape
    let isWide = shape.context >= shape.batch
    guard let positions = unsafe pass.positions else {
      unsafe self.init(.flat, pass.tokenCount, nil)
      return
    }
    switch pass.places {
    case .sequential(let offset):
      unsafe self.init(
        isWide ? .columns : .rows, isWide ? shape.context : shape.batch,
        positions + offset * pass.dim)
    case .explicit(let ids, shared: true):
      unsafe self.init(
        isWide ? .columns : .rows, isWide ? shape.context : shape.batch, positions, ids)
    case .explicit(let ids, shared: false):
      unsafe self.init(.flat, pass.tokenCount, positions, ids)
    case .offsets(let offsets) where shape.context == 1:
      // One token a sequence: the offsets are the tokens' positions.
      unsafe self.init(.flat, pass.tokenCount, positions, offsets)
    case .offsets, .packed, .mask:
      unsafe self.init(.runs, pass.tokenCount, positions)
    }
  }

  @inline(__always)
  private init(
    _ form: Form, _ count: Int, _ positions: UnsafePointer<Float>?,
    _ positionIDs: UnsafePointer<Int32>? = nil
  ) {
    self.form = form
    self.count = count
    unsafe self.positions = positions
    unsafe self.positionIDs = positionIDs
  }
}

/// A pass, the way to cut it, and what to do with the tiles.
@safe struct TileWork<Visitor: TileVisitor>: ParallelWork {
  let pass: EmbedCall
  let plan: Plan
  let walk: TileWalk
  /// Whether a rectangle is walked position by position with the sequences inside.
  let placesOutside: Bool
  let visitor: Visitor

  /// Visits the tiles of a range of the walk's columns, rows or tokens.
  @inline(__always)
  func run(_ range: Range<Int>) {
    let shape = pass.shape
    switch walk.form {
    case .columns: rectangle(0..<shape.batch, range)
    case .rows: rectangle(range, 0..<shape.context)
    case .flat:
      unsafe visit(
        range.lowerBound, inner: consecutive(range.count), walk.positions,
        walk.positionIDs.map { unsafe $0 + range.lowerBound })
    case .runs:
      pass.places.forEachRun(context: shape.context, in: range) { start, count, position in
        unsafe visit(
          start, inner: consecutive(count), walk.positions.map { unsafe $0 + position * pass.dim },
          nil)
      }
    }
  }

  @inline(__always)
  private func rectangle(_ rows: Range<Int>, _ columns: Range<Int>) {
    let first = columns.lowerBound
    let sequences = EmbedTile.Loop(count: rows.count, tokens: pass.shape.context)
    let places = consecutive(columns.count)
    let start =
      unsafe walk.positionIDs == nil
      ? walk.positions.map { unsafe $0 + first * pass.dim } : walk.positions
    unsafe visit(
      rows.lowerBound * pass.shape.context + first, outer: placesOutside ? places : sequences,
      inner: placesOutside ? sequences : places, start,
      walk.positionIDs.map { unsafe $0 + first })
  }

  @inline(__always)
  private func consecutive(_ count: Int) -> EmbedTile.Loop {
    EmbedTile.Loop(count: count, tokens: 1, positions: 1)
  }

  @inline(__always)
  private func visit(
    _ first: Int, outer: EmbedTile.Loop = EmbedTile.Loop(count: 1), inner: EmbedTile.Loop,
    _ positions: UnsafePointer<Float>?, _ positionIDs: UnsafePointer<Int32>?
  ) {
    let tile = unsafe EmbedTile(
      tokens: pass.tokens, positions: positions, positionIDs: positionIDs, ids: pass.ids,
      first: first, outer: outer, inner: inner, dim: pass.dim, scale: pass.options.scale,
      output: pass.output, traffic: plan.traffic)
    visitor.visit(tile, plan)
  }
}
