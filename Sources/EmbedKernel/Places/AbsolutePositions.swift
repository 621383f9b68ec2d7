// The choice of absolute positions: a row for each place, added to the token embedding. A scheme is
// a file of this folder that adds a static function here.

/// A way to give each place of a context a vector that is added to the token's.
public struct AbsolutePositions: Sendable {
  /// The scheme's name, as options and checkpoints spell it.
  public let name: String

  /// Whether training moves the rows.
  public let isTrained: Bool

  /// What to do with a position past the last row.
  public let overflow: PositionOverflow

  /// Makes the table `[maximum, dim]`, or nothing where the scheme adds nothing.
  let makeTable: @Sendable (_ dim: Int, _ seed: UInt64) throws(EmbedError) -> EmbeddingTable<Float>?

  /// A scheme of your own.
  ///
  /// - Parameter table: Makes the rows `[maximum, dim]` from the dim and a seed.
  public init(
    name: String, isTrained: Bool, overflow: PositionOverflow = .error,
    table:
      @escaping @Sendable (_ dim: Int, _ seed: UInt64) throws(EmbedError) -> EmbeddingTable<Float>?
  ) {
    self.name = name
    self.isTrained = isTrained
    self.overflow = overflow
    makeTable = table
  }

  /// Adds nothing: the same word looks the same wherever it stands.
  public static let none = AbsolutePositions(name: "none", isTrained: false) {
    (_, _) throws(EmbedError) in nil
  }
}
