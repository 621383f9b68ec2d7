// What a forward call may do differently from the plain sum, and what it does with ids and
// positions outside the tables.

/// The options of a forward call; the defaults are the plain sum, and errors for anything outside
/// a table.
public struct EmbedOptions: Hashable, Sendable {
  /// Multiplies the token row before the position is added: 1, or `sqrt(dim)` as in the
  /// Transformer. The product is rounded on its own, as two separate operations would.
  public var scale: Float

  /// What to do with a token id outside the vocabulary.
  public var unknownIDs: UnknownIDs

  /// What to do with a position past the position table's last row.
  public var positionOverflow: PositionOverflow

  /// Takes the three options.
  public init(
    scale: Float = 1, unknownIDs: UnknownIDs = .error, positionOverflow: PositionOverflow = .error
  ) {
    self.scale = scale
    self.unknownIDs = unknownIDs
    self.positionOverflow = positionOverflow
  }
}

/// What to do with a token id outside the vocabulary.
public enum UnknownIDs: String, CaseIterable, Sendable {
  /// Throw `tokenOutOfRange` before anything is written.
  case error
  /// Take the nearest valid id: 0 or the last one.
  case clamp
  /// Take a row of zeros; the position is still added.
  case zeroRow
}

/// What to do with a position past the position table's last row.
public enum PositionOverflow: String, CaseIterable, Sendable {
  /// Throw before anything is written.
  case error
  /// Take the last row.
  case clamp
}
