// What an optimiser moves: a table of floats; one of bfloat16 beside its master rows in Float; or one of
// bfloat16 alone, whose updates are rounded at random so that small ones are not lost.
//
// V rows, D dim. Bytes of the table and its masters: 4*V*D, 6*V*D and 2*V*D.

internal import CKernels

/// How new values get into a table of bfloat16.
public enum BFloat16Updates: Sendable {
  /// Steps move these rows, in full one for each row of the table, and the touched ones are then
  /// rounded to nearest even. Made by `table.widened()`; saved with the optimiser's state.
  case masters(EmbeddingTable<Float>)

  /// Steps widen a row, and round it up or down with the probabilities that keep the mean: the bits
  /// are those of ``Kernels/roundStochastically(_:into:seed:stream:first:)`` with the step's number,
  /// from 1 on, as the stream and `row * dim` as the first place. They depend on seed, step and
  /// element alone, so a run goes on from `stepCount` and the table.
  case stochastic(seed: UInt64)
}

/// The memory that steps move.
@safe struct StepTarget {
  let rows: Int
  let dim: Int
  let table: EmbeddingTable<Float>?
  let rounded: EmbeddingTable<BFloat16>?
  private let seed: UInt64

  static func float(_ table: EmbeddingTable<Float>) -> StepTarget {
    StepTarget(rows: table.rows, dim: table.dim, table: table, rounded: nil, seed: 0)
  }

  private init(
    rows: Int, dim: Int, table: EmbeddingTable<Float>?, rounded: EmbeddingTable<BFloat16>?,
    seed: UInt64
  ) {
    self.rows = rows
    self.dim = dim
    self.table = table
    self.rounded = rounded
    self.seed = seed
  }

  init(
    _ rounded: EmbeddingTable<BFloat16>, _ updates: BFloat16Updates, _ rule: UpdateRule
  ) throws(EmbedError) {
    let (rows, dim) = (rounded.rows, rounded.dim)
    switch updates {
    case .masters(let masters):
      guard masters.rows == rows, masters.dim == dim else {
        throw .invalidSize(
          argument: "elements of the master rows", value: masters.rows * masters.dim,
          expected: "those of the table, \(rows) rows of \(dim)")
      }
      self.init(rows: rows, dim: dim, table: masters, rounded: rounded, seed: 0)
    case .stochastic(let seed):
      guard rule.untouched != .caughtUp else {
        throw .unsupported(
          argument: "untouched rows of a table that is rounded stochastically",
          value: rule.untouched.rawValue, expected: "stepped or left; catching up needs master rows"
        )
      }
      self.init(rows: rows, dim: dim, table: nil, rounded: rounded, seed: seed)
    }
  }

  /// Writes the addresses down for a step.
  func describe(to tile: inout ek_step_tile, step: Int) {
    // As they are: a step brings its rows up to date itself.
    unsafe tile.table = table?.memory.baseAddress
    guard let rounded else { return }
    unsafe tile.rounded = UnsafeMutableRawPointer(
      rounded.memory.baseAddress.unsafelyUnwrapped
    )
    .assumingMemoryBound(to: UInt16.self)
    unsafe tile.rounding = table == nil ? EK_ROUNDED_RANDOMLY : EK_ROUNDED_TO_NEAREST
    unsafe tile.seed = seed
    unsafe tile.stream = UInt64(step)
  }
}
