// What backward leaves for the optimiser: the gradients of a layer's tables, and the memory that the
// calls work in.

/// The gradients of an `InputEmbedding`'s tables, both row-sparse: a batch touches few rows of either.
///
/// The memory is reused from step to step: it grows to the largest batch seen and stays.
public struct InputGradient: ~Copyable {
  /// The token table's gradient.
  public var tokens: RowSparseGradient

  /// The position table's gradient; lists no row where the layer's positions are not trained.
  public var positions: RowSparseGradient

  /// The groups of the last batch, and scratch memory.
  public var workspace: BackwardWorkspace

  /// Gradients of tables of these sizes, with room for a batch of `capacity` tokens.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(
    vocabulary: Int, maximumContext: Int, dim: Int, capacity: Int = 0
  ) throws(EmbedError) {
    let tokens = try RowSparseGradient(
      rows: vocabulary, dim: dim, capacity: min(capacity, vocabulary))
    let positions = try RowSparseGradient(rows: maximumContext, dim: dim)
    let workspace = try BackwardWorkspace(capacity: capacity)
    self.tokens = tokens
    self.positions = positions
    self.workspace = workspace
  }
}
