// The fused layer from and into checkpoints: BERT's embedding, segments and LayerNorm included.

public import EmbedKernel

extension FusedInputEmbedding<Float> {
  /// Reads a layer from the model at `path`.
  ///
  /// - Parameters:
  ///   - path: A safetensors file, the index of a sharded model, or the folder of either.
  ///   - names: What the tensors are called; by default found out from the model, below any prefix.
  ///   - epsilon: LayerNorm's, which is in no tensor: 1e-12 in BERT.
  ///   - scale: What multiplies token rows before the rest is added.
  ///   - paddingID: An id whose row training leaves alone. Its row is kept as the file has it; in
  ///     BERT's checkpoints it is not zero.
  ///   - dropout: What is dropped in training.
  /// - Throws: `ModelError`: `missingTensor`, with the nearest names that there are,
  ///   `ambiguousTensor`, `leftOut`, `elementType`, `shape`, and whatever is wrong with the file.
  public convenience init(
    contentsOf path: String, names: EmbeddingNames? = nil, epsilon: Float = 1e-12,
    scale: EmbeddingScale = .one, paddingID: Int? = nil, dropout: Dropout? = nil
  ) throws(ModelError) {
    let weights = try EmbeddingWeights(contentsOf: path, names: names)
    guard weights.normScale != nil || weights.normBias == nil else {
      throw .safetensors(.missingTensor(path: path, expected: ["LayerNorm's scale"], found: []))
    }
    do throws(EmbedError) {
      let tokens = try TokenEmbedding(table: weights.tokens, paddingID: paddingID)
      var normalization: Normalization?
      if let gamma = weights.normScale {
        normalization = try Normalization(
          .layer, gamma: gamma, beta: weights.normBias, epsilon: epsilon)
      }
      try self.init(
        InputEmbedding(tokens: tokens, positions: weights.positions, scale: scale),
        segments: weights.segments, normalization: normalization, dropout: dropout)
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
  /// - Throws: `ModelError`: `missingTensor` where the scheme has no name for a part,
  ///   `elementType`, `file`.
  public func save(
    to path: String, names: EmbeddingNames = .bert, type: SafetensorsType = .float32,
    metadata: [String: String] = [:]
  ) throws(ModelError) {
    let weights = try ModelError.wrapping(
      embed: try EmbeddingWeights(
        tokens: embedding.tokens.table, positions: embedding.positions, segments: segments,
        normScale: normalization?.gamma, normBias: normalization?.beta))
    try weights.save(to: path, names: names, type: type, metadata: metadata)
  }
}
