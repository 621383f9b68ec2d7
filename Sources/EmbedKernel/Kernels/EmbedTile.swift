// Cutting a pass into loop nests over tokens. Position rows are the only data used more than once,
// so where all sequences share them a walk may go position by position with the sequences inside:
// a position row is read from memory once and from L1 by every other sequence.

/// Two nested loops over tokens, visited outer then inner.
@safe struct EmbedTile {
  /// How many steps, and how far tokens and positions move a step.
  struct Loop {
    let count: Int
    var tokens = 0
    var positions = 0
  }

  let tokens: UnsafePointer<Float>
  /// The position row of the first token, or with `positionIDs` the table's first row.
  let positions: UnsafePointer<Float>?
  let positionIDs: UnsafePointer<Int32>?
  let ids: TokenIDs
  /// The first token, an index into ids and output rows.
  let first: Int
  let outer: Loop
  let inner: Loop
  let dim: Int
  let scale: Float
  let output: UnsafeMutablePointer<Float>
  /// Write past the cache, and prefetch rows to come.
  let traffic: Traffic
}

/// How a call's bytes should move.
struct Traffic {
  /// Whether the output goes past the cache.
  let streaming: Bool
  /// How many rows ahead to prefetch; 0 for none.
  let prefetchRows: Int
}

/// A backend that computes a pass tile by tile.
protocol TileKernels: KernelBackend {
  /// Whether large rectangles are walked position by position. It pays where rows to come are
  /// prefetched; else the processor's own prefetching wants the output written in order.
  static var walksByPosition: Bool { get }

  /// for n in the nest: output[n, :] = scale * tokens[ids[n], :] + positions[place(n), :]
  static func embed(_ tile: EmbedTile, _ plan: Plan)
}

extension TileKernels {
  @inline(__always)
  static func embed(_ pass: ForwardPass, _ plan: Plan) {
    func split(
      _ form: TileWork<Self>.Form, _ count: Int, positions: UnsafePointer<Float>?,
      positionIDs: UnsafePointer<Int32>? = nil
    ) {
      let work = unsafe TileWork<Self>(
        pass: pass, plan: plan, form: form, positions: positions, positionIDs: positionIDs)
      Threads.split(count, plan.threads, work)
    }
    let shape = pass.shape
    let rectangle =
      shape.context >= shape.batch
      ? (TileWork<Self>.Form.columns, shape.context) : (.rows, shape.batch)
    guard let positions = unsafe pass.positions else {
      return split(.flat, pass.tokenCount, positions: nil)
    }
    switch pass.places {
    case .sequential(let offset):
      unsafe split(rectangle.0, rectangle.1, positions: positions + offset * pass.dim)
    case .explicit(let ids, shared: true):
      unsafe split(rectangle.0, rectangle.1, positions: positions, positionIDs: ids)
    case .explicit(let ids, shared: false):
      unsafe split(.flat, pass.tokenCount, positions: positions, positionIDs: ids)
    case .offsets(let offsets) where shape.context == 1:
      // One token a sequence: the offsets are the tokens' positions.
      unsafe split(.flat, pass.tokenCount, positions: positions, positionIDs: offsets)
    case .offsets, .packed, .mask:
      unsafe split(.runs, pass.tokenCount, positions: positions)
    }
  }
}

/// A pass with a way to cut it.
@safe private struct TileWork<Backend: TileKernels>: ParallelWork {
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

  let pass: ForwardPass
  let plan: Plan
  let form: Form
  let positions: UnsafePointer<Float>?
  let positionIDs: UnsafePointer<Int32>?

  @inline(__always)
  func run(_ range: Range<Int>) {
    let shape = pass.shape
    switch form {
    case .columns: rectangle(0..<shape.batch, range)
    case .rows: rectangle(range, 0..<shape.context)
    case .flat:
      unsafe embed(
        range.lowerBound, inner: consecutive(range.count), positions,
        positionIDs.map { unsafe $0 + range.lowerBound })
    case .runs:
      pass.places.forEachRun(context: shape.context, in: range) { start, count, position in
        unsafe embed(
          start, inner: consecutive(count), positions.map { unsafe $0 + position * pass.dim }, nil)
      }
    }
  }

  @inline(__always)
  private func rectangle(_ rows: Range<Int>, _ columns: Range<Int>) {
    let first = columns.lowerBound
    let sequences = EmbedTile.Loop(count: rows.count, tokens: pass.shape.context)
    let places = consecutive(columns.count)
    // Small rectangles are in cache whichever way they are walked: write them in order.
    let placesOutside = Backend.walksByPosition && plan.traffic.prefetchRows > 0
    let start =
      unsafe positionIDs == nil ? positions.map { unsafe $0 + first * pass.dim } : positions
    unsafe embed(
      rows.lowerBound * pass.shape.context + first, outer: placesOutside ? places : sequences,
      inner: placesOutside ? sequences : places, start, positionIDs.map { unsafe $0 + first })
  }

  @inline(__always)
  private func consecutive(_ count: Int) -> EmbedTile.Loop {
    EmbedTile.Loop(count: count, tokens: 1, positions: 1)
  }

  @inline(__always)
  private func embed(
    _ first: Int, outer: EmbedTile.Loop = EmbedTile.Loop(count: 1), inner: EmbedTile.Loop,
    _ positions: UnsafePointer<Float>?, _ positionIDs: UnsafePointer<Int32>?
  ) {
    let tile = unsafe EmbedTile(
      tokens: pass.tokens, positions: positions, positionIDs: positionIDs, ids: pass.ids,
      first: first, outer: outer, inner: inner, dim: pass.dim, scale: pass.options.scale,
      output: pass.output, traffic: plan.traffic)
    Backend.embed(tile, plan)
  }
}
