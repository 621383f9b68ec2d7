// The memory that a backward call works in besides its arguments: the batch's groups, and partial
// sums of rows that occur often. It grows to the largest batch seen and stays.
//
// N tokens, D dim. Up to some 40 bytes a token, and N*D*4/32 bytes once a row occurs more than 64
// times; nothing is as long as a table.

/// Memory that backward calls reuse. A call takes it for itself: use one for each thread that calls.
public struct BackwardWorkspace: ~Copyable {
  /// The tokens of the last call, grouped by the rows of the token table.
  public package(set) var tokens: RowGroups

  /// The same by the rows of the position table, where the call had positions.
  public internal(set) var positions: RowGroups

  /// The batch that `positions` holds, where it follows from the sizes alone.
  private var regular: Regular?
  private var positionIDs: AlignedBuffer<Int32>
  private var destinations: AlignedBuffer<Int32>
  private var heavyTokens: HeavyRows
  private var heavyPositions: HeavyRows

  private struct Regular: Equatable {
    var batch: Int
    var context: Int
    var offset: Int
  }

  /// An empty workspace.
  ///
  /// - Parameter capacity: The number of tokens that calls may have before more is allocated.
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(capacity: Int = 0) throws(EmbedError) {
    let tokens = try RowGroups(capacity: capacity)
    let positions = try RowGroups(capacity: capacity)
    let positionIDs = try AlignedBuffer<Int32>(count: 0)
    let destinations = try AlignedBuffer<Int32>(count: capacity)
    let heavyTokens = try HeavyRows()
    let heavyPositions = try HeavyRows()
    self.tokens = tokens
    self.positions = positions
    self.positionIDs = positionIDs
    self.destinations = destinations
    self.heavyTokens = heavyTokens
    self.heavyPositions = heavyPositions
  }

  /// Groups the tokens by position row: from the sizes alone where positions are sequential, else
  /// by sorting them.
  mutating func groupPositions(
    _ places: Places, batch: Int, context: Int, maximum: Int, threads: Int
  ) throws(EmbedError) {
    let n = batch * context
    if n > 0, case .sequential(let offset) = places, offset + context <= maximum {
      let wanted = Regular(batch: batch, context: context, offset: offset)
      if regular == wanted { return }
      regular = nil
      try unsafe positions.set(tokens: n) { rows, offsets, tokens in
        for t in 0..<context {
          unsafe rows[t] = Int32(offset + t)
          unsafe offsets[t] = Int32(t * batch)
          for b in 0..<batch { unsafe tokens[t &* batch &+ b] = Int32(b &* context &+ t) }
        }
        unsafe offsets[context] = Int32(n)
        return context
      }
      regular = wanted
      return
    }
    regular = nil
    if positionIDs.count < n { positionIDs = try AlignedBuffer(count: n) }
    let ids = unsafe positionIDs.base
    places.forEachRun(context: context, in: 0..<n) { start, count, position in
      for i in 0..<count {
        unsafe ids[start &+ i] = Int32(truncatingIfNeeded: min(position &+ i, maximum &- 1))
      }
    }
    try unsafe positions.group(
      TokenIDs(UnsafeBufferPointer(start: ids, count: n)), RowOfID(rows: maximum),
      threads: threads)
  }

  /// How far apart the tokens of a position are, where they are evenly spaced; else 0.
  var positionStep: Int { regular.map { $0.batch > 1 ? $0.context : 0 } ?? 0 }

  /// Finds the rows that occur often, and makes room for the sums of their runs.
  mutating func findHeavyRows(
    dim: Int, tokens withTokens: Bool, positions withPositions: Bool, compensated: Bool
  ) throws(EmbedError) {
    if withTokens {
      try heavyTokens.findRuns(in: tokens.unsafeView, dim: dim, compensated: compensated)
    }
    if withPositions {
      try heavyPositions.findRuns(in: positions.unsafeView, dim: dim, compensated: compensated)
    }
  }

  /// Makes room for where each token's row goes on to.
  mutating func reserveDestinations(_ count: Int) throws(EmbedError) {
    if destinations.count < count { destinations = try AlignedBuffer(count: count) }
  }

  var destinationMemory: UnsafeMutablePointer<Int32> { unsafe destinations.base }
  var heavyTokenView: HeavyRows.View { heavyTokens.view }
  var heavyPositionView: HeavyRows.View { heavyPositions.view }
}
