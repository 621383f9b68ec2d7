// The forms that a forward pass has: token and position rows of tables of one element type, or the fused
// layer, which adds segments, normalisation and dropout in floats.

internal import EmbedKernel

/// What computes the embeddings.
protocol EmbedLayer {
  /// Elements of a vector.
  var dim: Int { get }
  /// Rows of the position table; nil where there is none.
  var positionRows: Int? { get }

  /// Computes `[batch, context, dim]`, in floats, rounded once where the output is of another type.
  func embed<Output: TableElement>(
    _ batch: TokenBatch, at place: PositionIDs, into output: inout AlignedBuffer<Output>,
    using kernels: Kernels
  ) throws(EmbedError)
}

/// Rows of tables.
struct TableLayer<Element: TableElement>: EmbedLayer {
  let tokens: EmbeddingTable<Element>
  let positions: EmbeddingTable<Element>?
  let options: EmbedOptions

  var dim: Int { tokens.dim }
  var positionRows: Int? { positions?.rows }

  func embed<Output: TableElement>(
    _ batch: TokenBatch, at place: PositionIDs, into output: inout AlignedBuffer<Output>,
    using kernels: Kernels
  ) throws(EmbedError) {
    try kernels.embed(
      ids: batch.ids, tokens: tokens, positions: positions,
      shape: EmbeddingShape(
        vocabulary: tokens.rows, batch: batch.batch, context: batch.context, dim: dim),
      at: place, options: options, into: &output)
  }
}

extension InputEmbedding {
  /// The layer as rows of its tables.
  var tables: TableLayer<Float> {
    TableLayer(tokens: tokens.table, positions: positions, options: options)
  }
}

extension FusedCall: EmbedLayer {
  var dim: Int { layer.dim }
  var positionRows: Int? { layer.embedding.positions?.rows }

  func embed<Output: TableElement>(
    _ batch: TokenBatch, at place: PositionIDs, into output: inout AlignedBuffer<Output>,
    using kernels: Kernels
  ) throws(EmbedError) {
    func forward(_ rows: inout MutableSpan<Float>) throws(EmbedError) {
      try layer.forward(
        batch.ids, segmentIDs: segmentIDs, batch: batch.batch, context: batch.context, at: place,
        trainingStep: trainingStep, into: &rows, using: kernels)
    }
    if Output.self == Float.self {
      let memory = unsafe UnsafeMutableRawBufferPointer(output.unsafeBuffer)
      var span = unsafe MutableSpan(_unsafeElements: memory.assumingMemoryBound(to: Float.self))
      return try forward(&span)
    }
    var floats = try AlignedBuffer<Float>(count: output.count)
    var span = floats.mutableSpan
    try forward(&span)
    let rows = span.span
    try kernels.convert(rows, into: &output)
  }
}
