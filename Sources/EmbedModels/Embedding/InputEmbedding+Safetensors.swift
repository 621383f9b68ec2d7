// Whole layers from and into checkpoints.

public import EmbedKernel

extension InputEmbedding {
  /// Reads a layer from the model at `path`: GPT-2's, Llama's, or any with token rows and at most
  /// positions.
  ///
  /// OPT, BART and RoBERTa place the first token at row 2 of their positions, with
  /// `.sequential(offset: 2)`.
  ///
  /// - Parameters:
  ///   - path: A safetensors file, the index of a sharded model, or the folder of either.
  ///   - names: What the tensors are called; by default found out from the model, below any prefix.
  ///   - scale: What multiplies token rows before positions are added.
  ///   - paddingID: An id that training leaves alone; its row must be zero in the file, or is set
  ///     to zero.
  /// - Throws: `ModelError`: `missingTensor`, with the nearest names that there are,
  ///   `ambiguousTensor`, `elementType`, `shape`, whatever is wrong with the file, and `leftOut`
  ///   where the model has segments or a LayerNorm, which `FusedInputEmbedding` reads.
  public convenience init(
    contentsOf path: String, names: EmbeddingNames? = nil, scale: EmbeddingScale = .one,
    paddingID: Int? = nil, unknownIDs: UnknownIDs = .error
  ) throws(ModelError) {
    let model = try SafetensorsModel(contentsOf: path)
    let found = try EmbeddingNames.found(names, in: model)
    let more = found.segments + found.normScale + found.normBias
    guard more.isEmpty else {
      throw .leftOut(path: model.path, tensors: more, reader: "FusedInputEmbedding")
    }
    let weights = try EmbeddingWeights(model, found)
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
  /// - Throws: `ModelError`: `missingTensor` where the scheme has no name for the positions,
  ///   `elementType`, `file`.
  public func save(
    to path: String, names: EmbeddingNames, type: SafetensorsType = .float32,
    metadata: [String: String] = [:]
  ) throws(ModelError) {
    let weights = try ModelError.wrapping(
      embed: try EmbeddingWeights(tokens: tokens.table, positions: positions))
    try weights.save(to: path, names: names, type: type, metadata: metadata)
  }
}
