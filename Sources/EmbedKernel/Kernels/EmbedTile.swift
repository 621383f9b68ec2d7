// Cutting a pass into loop nests over tokens. Position rows are the only data used more than once,
// so where all sequences share them the walk goes position by position with the sequences inside:
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

extension ForwardPass {
  /// Calls `body` with tiles that cover the pass, split over `threads` threads.
  @inline(__always)
  func forEachTile(threads: Int, traffic: Traffic, _ body: (EmbedTile) -> Void) {
    switch place.layout {
    case .sequential(let offset):
      if let positions = unsafe positions {
        unsafe rectangles(
          threads, traffic, positions: positions + offset * dim, positionIDs: nil, body)
      } else {
        unsafe flat(threads, traffic, positions: nil, positionIDs: nil, body)
      }
    case .explicit(let ids) where unsafe positions != nil:
      unsafe ids.withUnsafeBufferPointer { ids in
        if ids.count == shape.context {
          unsafe rectangles(
            threads, traffic, positions: positions, positionIDs: ids.baseAddress, body)
        } else {
          unsafe flat(threads, traffic, positions: positions, positionIDs: ids.baseAddress, body)
        }
      }
    case .offsets(let offsets) where unsafe positions != nil && shape.context == 1:
      // One token a sequence: the offsets are the tokens' positions.
      unsafe offsets.withUnsafeBufferPointer {
        unsafe flat(threads, traffic, positions: positions, positionIDs: $0.baseAddress, body)
      }
    case .offsets, .packed, .mask, .explicit:
      guard let positions = unsafe positions else {
        unsafe flat(threads, traffic, positions: nil, positionIDs: nil, body)
        return
      }
      Threads.split(tokenCount, threads) { range in
        place.forEachRun(context: shape.context, in: range) { start, count, position in
          body(unsafe run(start, count, traffic, positions: positions + position * dim))
        }
      }
    }
  }

  /// Every sequence has the same positions: split the longer side over the threads.
  @inline(__always)
  private func rectangles(
    _ threads: Int, _ traffic: Traffic, positions: UnsafePointer<Float>?,
    positionIDs: UnsafePointer<Int32>?, _ body: (EmbedTile) -> Void
  ) {
    let byContext = shape.context >= shape.batch
    Threads.split(byContext ? shape.context : shape.batch, threads) { range in
      let (rows, columns) = byContext ? (0..<shape.batch, range) : (range, 0..<shape.context)
      let first = columns.lowerBound
      let sequences = EmbedTile.Loop(count: rows.count, tokens: shape.context)
      let places = EmbedTile.Loop(count: columns.count, tokens: 1, positions: 1)
      // Small rectangles are in cache whichever way they are walked: write them in order.
      let placesOutside = traffic.prefetchRows > 0
      unsafe body(
        tile(
          rows.lowerBound * shape.context + first, placesOutside ? places : sequences,
          placesOutside ? sequences : places, traffic,
          positions: positionIDs == nil ? positions.map { unsafe $0 + first * dim } : positions,
          positionIDs: positionIDs.map { unsafe $0 + first }))
    }
  }

  /// The tokens as one long sequence, with a position id each or no positions.
  @inline(__always)
  private func flat(
    _ threads: Int, _ traffic: Traffic, positions: UnsafePointer<Float>?,
    positionIDs: UnsafePointer<Int32>?, _ body: (EmbedTile) -> Void
  ) {
    Threads.split(tokenCount, threads) { range in
      unsafe body(
        run(
          range.lowerBound, range.count, traffic, positions: positions,
          positionIDs: positionIDs.map { unsafe $0 + range.lowerBound }))
    }
  }

  @inline(__always)
  private func run(
    _ first: Int, _ count: Int, _ traffic: Traffic, positions: UnsafePointer<Float>?,
    positionIDs: UnsafePointer<Int32>? = nil
  ) -> EmbedTile {
    unsafe tile(
      first, EmbedTile.Loop(count: 1), EmbedTile.Loop(count: count, tokens: 1, positions: 1),
      traffic, positions: positions, positionIDs: positionIDs)
  }

  @inline(__always)
  private func tile(
    _ first: Int, _ outer: EmbedTile.Loop, _ inner: EmbedTile.Loop, _ traffic: Traffic,
    positions: UnsafePointer<Float>?, positionIDs: UnsafePointer<Int32>?
  ) -> EmbedTile {
    unsafe EmbedTile(
      tokens: tokens, positions: positions, positionIDs: positionIDs, ids: ids, first: first,
      outer: outer, inner: inner, dim: dim, scale: options.scale, output: output, traffic: traffic)
  }
}
