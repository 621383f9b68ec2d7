// Whole layers from and into checkpoints.

extension InputEmbedding {
  /// Reads a layer from the safetensors file at `path`: GPT-2's, Llama's, or any with token rows
  /// and at most positions.
  ///
  /// - Parameters:
  ///   - names: What the tensors are called; by default found out from the file.
  ///   - scale: What multiplies token rows before positions are added.
  ///   - paddingID: An id that training leaves alone; its row must be zero in the file, or is set
  ///     to zero.
  /// - Throws: `SafetensorsError`: `missingTensor`, listing the names that the file has,
  ///   `elementType`, `shape`, whatever is wrong with the file, and `unexpectedTensor` where the
  ///   file has segments or a LayerNorm, which this layer would leave out (`EmbeddingWeights` reads
  ///   them).
  public convenience init(
    contentsOf path: String, names: EmbeddingNames? = nil, scale: EmbeddingScale = .one,
    paddingID: Int? = nil, unknownIDs: UnknownIDs = .error
  ) throws(SafetensorsError) {
    let weights = try EmbeddingWeights(contentsOf: path, names: names)
    for (what, table) in [("segments", weights.segments), ("LayerNorm", weights.normScale)]
    where table != nil {
      throw .unexpectedTensor(path: path, tensor: what, expected: ["tokens", "positions"])
    }
    do throws(EmbedError) {
      let tokens = try TokenEmbedding(table: weights.tokens, paddingID: paddingID)
      tokens.clearPaddingRow()
      try self.init(
        tokens: tokens, positions: weights.positions, scale: scale, unknownIDs: unknownIDs)
    } catch {
      throw .embed(error)
    }
  }

  /// Writes the layer to the file at `path`, which is replaced whole or stays as it was.
  ///
  /// - Parameters:
  ///   - names: What the tensors are called.
  ///   - type: `.float32`, or `.float16` or `.bfloat16`, to which elements are rounded.
  ///   - metadata: Texts for the header.
  /// - Throws: `SafetensorsError`: `missingTensor` where the scheme has no name for the positions,
  ///   `elementType`, `file`.
  public func save(
    to path: String, names: EmbeddingNames, type: SafetensorsType = .float32,
    metadata: [String: String] = [:]
  ) throws(SafetensorsError) {
    let weights: EmbeddingWeights
    do throws(EmbedError) {
      weights = try EmbeddingWeights(tokens: tokens.table, positions: positions)
    } catch {
      throw .embed(error)
    }
    try weights.save(to: path, names: names, type: type, metadata: metadata)
  }
}
