// The table that makes distance biases fast, and the shortest way of a call with it: where each
// sequence's queries and keys stand one after another, a head's logits are one tile of the backend,
// of any element type. Nothing there grows with the context, so a tile of 64 by 64 costs little more
// than its additions.

internal import CKernels

/// A distance bias as a table of floats `[heads, distances]`, added row by row: in a row of logits
/// the keys are one after another and so are the distances, so each row is one vector addition
/// from a place in the table that moves back by one from query to query. No
/// `[heads, queries, keys]` tensor is ever made.
///
/// The table grows to the longest distance seen, 4 bytes a head and distance, and is shared by
/// all threads and layers that share this object. Reading it takes no lock.
public final class DistanceTable: AttentionBias {
  /// The formula.
  public let formula: any DistanceBias

  /// The formula's heads.
  public let heads: Int?
  /// The formula's positions.
  public let positions: Int?

  private let rowCount: Int
  private let table: ReachTable<Float>

  /// A table of `formula`.
  ///
  /// - Parameter reach: The distances to have at once; more are added when a call needs them.
  /// - Throws: `distanceOutOfRange` past 2^24, `outOfMemory`.
  public init(
    _ formula: any DistanceBias, reach: BiasReach = BiasReach(past: 0, future: 0)
  ) throws(EmbedError) {
    self.formula = formula
    heads = formula.heads
    positions = formula.positions
    let rowCount = formula.heads ?? 1
    self.rowCount = rowCount
    table = ReachTable(rows: rowCount) { (snapshot) throws(EmbedError) in
      let reach = snapshot.reach
      let count = rowCount * reach.count
      Threads.split(
        count, count < 1 << 14 ? 1 : Threads.available,
        unsafe FillDistances(
          formula: formula, reach: reach,
          values: snapshot.values.unsafeBuffer.baseAddress.unsafelyUnwrapped))
    }
    try table.cover(reach)
  }

  /// The formula's name.
  public var name: String { formula.name }
  /// This.
  public var distanceTable: DistanceTable? { self }

  /// The formula itself, not rounded to the table's floats.
  public func value(head: Int, query: Int, key: Int) -> Double {
    formula.value(head: head, query: query, key: key)
  }

  /// Grows the table to `reach`.
  public func prepare(_ reach: BiasReach) throws(EmbedError) { try table.cover(reach) }

  /// Computes the table again from the formula, after training moved its parameters. No other
  /// thread may use the table meanwhile. Allocates nothing.
  public func refresh() {
    // Filling throws only where it allocates.
    try? table.refresh()
  }

  /// The entry of distance 0 of the first head, and the floats to the next head's: 0 where all are
  /// alike. `prepare(_:)` says how far to both sides may be read.
  package var entries: (first: UnsafeMutablePointer<Float>, headStride: Int) {
    let view = table.newest
    return unsafe (view.first, rowCount == 1 ? 0 : view.rowStride)
  }

  /// Adds the table's shifted rows, with the causal mask.
  public func add(_ block: BiasBlock) {
    let (first, headStride) = unsafe entries
    unsafe block.addByDistance(first + block.head * headStride)
  }

  /// Runs a checked call.
  @inline(__always)
  func add(_ call: AttentionCall) {
    if call.queries.areConsecutive && call.keys.areConsecutive {
      let (first, headStride) = unsafe entries
      let rows = unsafe DistanceRows(call: call, table: first, headStride: headStride)
      Threads.split(
        call.shape.batch &* call.shape.heads &* call.shape.queries, call.plan.threads, rows)
    } else {
      let blocks = BiasBlocks(call, self)
      Threads.split(blocks.count, call.plan.threads, blocks)
    }
  }
}

extension DistanceTable: TrainedBias {
  private var trained: (any TrainedDistanceBias)? { formula as? any TrainedDistanceBias }

  /// The formula's parameters; none where it is not trained.
  public var parameterCount: Int { trained?.parameterCount ?? 0 }

  /// One float a distance.
  public func sumCount(_ reach: BiasReach) -> Int { reach.count }

  /// Sums the gradient along the diagonals.
  public func addGradient(_ block: BiasGradientBlock) {
    unsafe block.sumByDistance(block.sums + block.reach.past)
  }

  /// Gives the formula the gradient of each distance.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    guard let trained else { return }
    for place in 0..<reach.count where unsafe sums[place] != 0 {
      unsafe trained.addGradient(
        head: head, distance: reach.past - place, weight: Double(sums[place]), into: gradient)
    }
  }
}

/// The rows of a call whose positions are consecutive in each sequence.
@safe private struct DistanceRows: ParallelWork {
  let call: AttentionCall
  /// The entry of distance 0 of the first head, and the floats to the next head's.
  let table: UnsafeMutablePointer<Float>
  let headStride: Int

  /// Does the rows `range` of `[batch * heads * queries]`.
  @inline(__always)
  func run(_ range: Range<Int>) {
    let (shape, isCausal) = (call.shape, call.mask.contains(.causal))
    var row = range.lowerBound
    while row < range.upperBound {
      let (lane, first) = row.quotientAndRemainder(dividingBy: shape.queries)
      let (batchRow, head) = lane.quotientAndRemainder(dividingBy: shape.heads)
      let count = min(shape.queries - first, range.upperBound - row)
      let delta = call.keys.first(batchRow) - call.queries.first(batchRow) - first
      unsafe call.plan.backend.kernels.addByDistance(
        ek_distance_tile(
          logits: call.logits + row &* shape.keys &* call.element.byteCount,
          table: table + (head &* headStride + delta), rows: count, columns: shape.keys,
          stride: shape.keys, visible: isCausal ? 1 - delta : .max, overwrite: call.overwrites,
          element: call.element.code), call.plan)
      row += count
    }
  }
}

/// values[row, place] = formula(row, past - place)
@safe private struct FillDistances: ParallelWork {
  let formula: any DistanceBias
  let reach: BiasReach
  let values: UnsafeMutablePointer<Float>

  init(formula: any DistanceBias, reach: BiasReach, values: UnsafeMutablePointer<Float>) {
    self.formula = formula
    self.reach = reach
    unsafe self.values = values
  }

  func run(_ range: Range<Int>) {
    for i in range {
      let (row, place) = i.quotientAndRemainder(dividingBy: reach.count)
      unsafe values[i] = Float(formula.value(head: row, distance: reach.past - place))
    }
  }
}
