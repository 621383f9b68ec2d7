// Biases that depend on a head and a distance alone, and the table that makes them fast.
//
// n = query position - key position. H heads, R distances.

/// A bias that depends on the head and on n = query position - key position alone.
///
/// A scheme is its formula. Wrap it in a `DistanceTable` to add it at the speed of a plain addition;
/// on its own it computes the formula for each logit.
public protocol DistanceBias: AttentionBias {
  /// The bias of `head` at distance `distance` = query position - key position, exact to Double.
  func value(head: Int, distance: Int) -> Double
}

extension DistanceBias {
  /// The bias at the distance between the two.
  public func value(head: Int, query: Int, key: Int) -> Double {
    value(head: head, distance: query - key)
  }
}

/// A distance bias with parameters that training moves.
public protocol TrainedDistanceBias: DistanceBias {
  /// The number of parameters.
  var parameterCount: Int { get }

  /// Adds to `gradient`, shape `[parameterCount]`, the slope of the bias of `head` at `distance`
  /// times `weight`, the gradient of that bias.
  func addGradient(
    head: Int, distance: Int, weight: Double, into gradient: UnsafeMutableBufferPointer<Float>)
}

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
  var entries: (first: UnsafeMutablePointer<Float>, headStride: Int) {
    let view = table.newest
    return unsafe (view.first, rowCount == 1 ? 0 : view.rowStride)
  }

  /// Adds the table's shifted rows, with the causal mask.
  public func add(_ block: BiasBlock) {
    let (first, headStride) = unsafe entries
    let origin = unsafe first + block.head * headStride
    let delta = block.keys.lowerBound - block.queries.lowerBound
    let tile = unsafe DistanceTile(
      logits: block.logits, table: origin + delta, rows: block.queries.count,
      columns: block.keys.count, stride: block.stride,
      visible: block.isCausal ? 1 - delta : .max, overwrites: block.overwrites)
    block.plan.backend.addByDistance(tile, block.plan)
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
