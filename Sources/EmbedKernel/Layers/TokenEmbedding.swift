// The token table as a layer: ids in, rows out, with a padding id whose row is always zero.

/// A table of one vector for each token of a vocabulary.
public final class TokenEmbedding: Sendable {
  /// The rows, shape `[vocabulary, dim]`.
  public let table: EmbeddingTable<Float>

  /// The id of padding: its row is zero and never trained.
  public let paddingID: Int?

  /// The number of tokens.
  public var vocabulary: Int { table.rows }

  /// The number of floats of a vector.
  public var dim: Int { table.dim }

  /// Allocates and draws a new table.
  ///
  /// - Parameters:
  ///   - paddingID: Its row is set to zero.
  ///   - seed: The same seed gives the same bits for every thread count.
  /// - Throws: `invalidSize` for a vocabulary or dim below 1 or a padding id outside the
  ///   vocabulary, `invalidValue` for the initialisation's numbers, `sizeOverflow`, `outOfMemory`.
  public convenience init(
    vocabulary: Int, dim: Int, paddingID: Int? = nil,
    initialization: Initialization = .normal(sigma: 0.02), seed: UInt64 = 0
  ) throws(EmbedError) {
    let table = try EmbeddingTable<Float>(rows: vocabulary, dim: dim)
    try self.init(table: table, paddingID: paddingID)
    try initialize(initialization, seed: seed)
  }

  /// Wraps a table that is already filled, and shares it.
  ///
  /// - Throws: `invalidSize` for a padding id outside the vocabulary.
  public convenience init(
    table: EmbeddingTable<Float>, paddingID: Int? = nil
  ) throws(EmbedError) {
    try table.checkPadding(paddingID)
    self.init(checked: table, paddingID: paddingID)
  }

  init(checked table: EmbeddingTable<Float>, paddingID: Int?) {
    self.table = table
    self.paddingID = paddingID
  }

  /// Draws the table anew; the padding row stays zero.
  public func initialize(_ initialization: Initialization, seed: UInt64) throws(EmbedError) {
    try unsafe initialization.fill(table.unsafeBuffer, seed: seed, stream: RandomStream.tokens)
    clearPaddingRow()
  }

  /// Sets the padding row to zero, as after writing to the table from outside.
  public func clearPaddingRow() {
    guard let paddingID else { return }
    table.bringUp(.row(paddingID))
    for i in paddingID * dim..<(paddingID + 1) * dim { unsafe table.memory[i] = 0 }
  }

  /// Gathers the rows of `ids`.
  ///
  ///     output[b, t, :] = table[ids[b, t], :]
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - output: Shape `[batch, context, dim]`.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, batch: Int, context: Int, into output: inout Output,
    unknownIDs: UnknownIDs = .error, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe output.withMutableElements { (output) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe forward(TokenIDs(ids), batch, context, output, unknownIDs, kernels)
      }
    }
  }

  @usableFromInline
  func forward(
    _ ids: TokenIDs, _ batch: Int, _ context: Int, _ output: UnsafeMutableBufferPointer<Float>,
    _ unknownIDs: UnknownIDs, _ kernels: Kernels
  ) throws(EmbedError) {
    table.bringUp(.ids(ids, outside: unknownIDs), kernels)
    try unsafe kernels.embed(
      ids, table.elements, nil,
      EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim),
      .sequential(), EmbedOptions(unknownIDs: unknownIDs),
      Elements(UnsafeBufferPointer(output)))
  }
}

extension EmbeddingTable {
  /// Checks that a padding id is a row.
  func checkPadding(_ id: Int?) throws(EmbedError) {
    guard let id, id < 0 || id >= rows else { return }
    throw .invalidSize(argument: "padding id", value: id, expected: "an id of 0...\(rows - 1)")
  }
}
