// The four sizes that fix every array of a forward call.

/// The sizes of one call: ids `[batch, context]`, token table `[vocabulary, dim]`, output
/// `[batch, context, dim]`.
public struct EmbeddingShape: Hashable, Sendable {
  /// The number of rows of the token table.
  public var vocabulary: Int
  /// The number of sequences; 0 is an empty batch.
  public var batch: Int
  /// The number of tokens of a sequence.
  public var context: Int
  /// The number of floats of a vector.
  public var dim: Int

  /// Takes the sizes as they are; a call checks them.
  public init(vocabulary: Int, batch: Int, context: Int, dim: Int) {
    self.vocabulary = vocabulary
    self.batch = batch
    self.context = context
    self.dim = dim
  }

  /// Checks the sizes and that no product of them overflows.
  ///
  /// - Returns: The element counts of the ids and of the token table and output.
  package func check() throws(EmbedError) -> (ids: Int, table: Int, output: Int) {
    guard vocabulary > 0 else { throw invalid("vocabulary", vocabulary, "1 or more") }
    guard dim > 0 else { throw invalid("dim", dim, "1 or more") }
    guard batch >= 0 else { throw invalid("batch", batch, "0 or more") }
    guard context >= 0 else { throw invalid("context", context, "0 or more") }
    return (
      try elementCount("ids", batch, context), try elementCount("token table", vocabulary, dim),
      try elementCount("output", batch, context, dim)
    )
  }

  private func invalid(_ argument: String, _ value: Int, _ expected: String) -> EmbedError {
    .invalidSize(argument: argument, value: value, expected: expected)
  }
}
