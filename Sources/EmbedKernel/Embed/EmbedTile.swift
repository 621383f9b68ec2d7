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

  /// Calls `body(token, place)` for the tokens of the nest; places are steps from `positions`.
  @inline(__always)
  func forEachToken(_ body: (_ token: Int, _ place: Int) -> Void) {
    for o in 0..<outer.count {
      for i in 0..<inner.count {
        body(
          first &+ o &* outer.tokens &+ i &* inner.tokens,
          o &* outer.positions &+ i &* inner.positions)
      }
    }
  }

  /// The row of the position table at `place`.
  @inline(__always)
  func positionRow(_ place: Int) -> UnsafePointer<Float>? {
    unsafe positions.map { positions in
      unsafe positions + (positionIDs.map { unsafe Int($0[place]) } ?? place) &* dim
    }
  }
}

/// How a call's bytes should move.
struct Traffic {
  /// Whether the output goes past the cache.
  let streaming: Bool
  /// How many rows ahead to prefetch; 0 for none.
  let prefetchRows: Int
}

/// A backend that computes a pass tile by tile.
protocol TileKernels: BackendKernels {
  /// Whether large rectangles are walked position by position. It pays where rows to come are
  /// prefetched; else the processor's own prefetching wants the output written in order.
  static var walksByPosition: Bool { get }

  /// for n in the nest: output[n, :] = scale * tokens[ids[n], :] + positions[place(n), :]
  static func embed(_ tile: EmbedTile, _ plan: Plan)
}

extension TileKernels {
  @inline(__always)
  static func embed(_ pass: EmbedCall, _ plan: Plan) {
    let walk = TileWalk(pass)
    // Small rectangles are in cache whichever way they are walked: write them in order.
    let work = TileWork(
      pass: pass, plan: plan, walk: walk,
      placesOutside: walksByPosition && plan.traffic.prefetchRows > 0,
      visitor: EmbedVisitor<Self>())
    Threads.split(walk.count, plan.threads, work)
  }
}

/// Embeds each tile.
private struct EmbedVisitor<Backend: TileKernels>: TileVisitor {
  @inline(__always)
  func visit(_ tile: EmbedTile, _ plan: Plan) { Backend.embed(tile, plan) }
}
