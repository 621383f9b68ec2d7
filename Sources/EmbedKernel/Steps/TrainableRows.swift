// Which rows of a table training may move.

/// The rows of a table that an optimiser moves, and keeps state for; all others stay as they are,
/// whatever gradient or decay there is for them.
public enum TrainableRows: Hashable, Sendable {
  /// Every row.
  case all
  /// A range of rows, such as those of tokens that were added to a vocabulary.
  case range(Range<Int>)
  /// Single rows, in any order.
  case rows([Int])

  /// The rows, rising, each once; nil for all.
  func list(of rows: Int) throws(EmbedError) -> [Int32]? {
    let chosen: [Int]
    switch self {
    case .all: return nil
    case .range(let range): chosen = Array(range)
    case .rows(let list): chosen = Set(list).sorted()
    }
    for row in chosen where row < 0 || row >= rows {
      throw .invalidSize(
        argument: "trainable row", value: row, expected: "a row of 0...\(rows - 1)")
    }
    guard !chosen.isEmpty else {
      throw .invalidSize(argument: "trainable rows", value: 0, expected: "1 or more")
    }
    return chosen.map(Int32.init)
  }
}
