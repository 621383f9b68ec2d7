// What an optimiser moves: a table of floats; one of 16-bit elements beside its master rows in Float; or
// one of 16-bit elements alone, whose updates are rounded at random so that small ones are not lost.
//
// V rows, D dim. Bytes of the table and its masters: 4*V*D, 6*V*D and 2*V*D.

internal import CKernels

/// How new values get into a table of 16-bit elements.
///
/// A value that the elements have no room for becomes infinite: in a table of `Half` one past 65,504,
/// by the rule of `Half(_:)` or `Half(_:roundedBy:)`. Master rows keep the value itself, and the table
/// follows them back; without them the element is infinite, and NaN from its next step on.
public enum SixteenBitUpdates: Sendable {
  /// Steps move these rows, in full one for each row of the table, and the touched ones are then
  /// rounded to nearest even. Made by `table.widened()`; saved with the optimiser's state.
  case masters(EmbeddingTable<Float>)

  /// Steps widen a row, and round it up or down with the probabilities that keep the mean: the bits
  /// are those of ``Kernels/roundStochastically(_:into:seed:stream:first:)`` with the step's number,
  /// from 1 on, as the stream and `row * dim` as the first place. They depend on seed, step and
  /// element alone, so a run goes on from `stepCount` and the table.
  case stochastic(seed: UInt64)
}

/// A table of either kind of 16-bit elements.
protocol RoundedTable: AnyObject {
  var elements: Elements { get }
  var ledgers: [RowLedger] { get set }
}

extension EmbeddingTable: RoundedTable where Element: SixteenBitElement {}

/// The memory that steps move.
@safe struct StepTarget {
  let rows: Int
  let dim: Int
  let table: EmbeddingTable<Float>?
  let rounded: (any RoundedTable)?
  private var seed: UInt64 = 0

  init(_ table: EmbeddingTable<Float>) {
    (rows, dim, self.table, rounded) = (table.rows, table.dim, table, nil)
  }

  init<Element: SixteenBitElement>(
    _ rounded: EmbeddingTable<Element>, _ updates: SixteenBitUpdates, _ rule: UpdateRule
  ) throws(EmbedError) {
    (rows, dim, self.rounded) = (rounded.rows, rounded.dim, rounded)
    switch updates {
    case .masters(let masters):
      guard masters.rows == rounded.rows, masters.dim == rounded.dim else {
        throw .invalidSize(
          argument: "elements of the master rows", value: masters.rows * masters.dim,
          expected: "those of the table, \(rounded.rows) rows of \(rounded.dim)")
      }
      table = masters
    case .stochastic(let seed):
      guard rule.untouched != .caughtUp else {
        throw .unsupported(
          argument: "untouched rows of a table that is rounded stochastically",
          value: rule.untouched.rawValue, expected: "stepped or left; catching up needs master rows"
        )
      }
      table = nil
      self.seed = seed
    }
  }

  /// Writes the addresses down for a step.
  func describe(to tile: inout ek_step_tile, step: Int) {
    // As they are: a step brings its rows up to date itself.
    unsafe tile.table = table?.memory.baseAddress
    guard let elements = rounded?.elements else { return }
    unsafe tile.rounded = UnsafeMutableRawPointer(mutating: elements.base.unsafelyUnwrapped)
      .assumingMemoryBound(to: UInt16.self)
    unsafe tile.rounded_type = elements.type.code
    unsafe tile.rounding = table == nil ? EK_ROUNDED_RANDOMLY : EK_ROUNDED_TO_NEAREST
    unsafe tile.seed = seed
    unsafe tile.stream = UInt64(step)
  }
}
