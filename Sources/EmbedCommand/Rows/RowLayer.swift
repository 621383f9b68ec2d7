// Token rows that are decoded on their way, and positions of any element type.

internal import EmbedKernel
internal import EmbedRows

/// Rows of any format.
struct RowLayer<Element: TableElement>: EmbedLayer {
  let tokens: RowTable
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
