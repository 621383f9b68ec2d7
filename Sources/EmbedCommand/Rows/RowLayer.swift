// Token rows that are decoded on their way, and positions of any element type.

internal import EmbedKernel
internal import EmbedRows

/// Rows of any format.
struct RowLayer<Element: TableElement>: EmbedLayer {
  let tokens: RowTable
  let positions: EmbeddingTable<Element>?
  let options: EmbedOptions
  /// A token whose row counts as zero, though it lies where nothing may be written.
  var paddingID: Int?

  var dim: Int { tokens.dim }
  var positionRows: Int? { positions?.rows }

  func embed<Output: TableElement>(
    _ batch: TokenBatch, at place: PositionIDs, into output: inout AlignedBuffer<Output>,
    using kernels: Kernels
  ) throws(EmbedError) {
    let shape = EmbeddingShape(
      vocabulary: tokens.rows, batch: batch.batch, context: batch.context, dim: dim)
    try kernels.embed(
      ids: batch.ids, tokens: tokens, positions: positions, shape: shape, at: place,
      options: options, into: &output)
    guard let paddingID, batch.ids.contains(where: { row($0) == paddingID }) else { return }
    try clear(paddingID, batch, shape, place, &output, kernels)
  }

  /// The row that an id reads; one outside the table, which reads none, as it is.
  private func row(_ id: Int64) -> Int {
    options.unknownIDs == .clamp
      ? max(0, min(tokens.rows - 1, Int(clamping: id))) : Int(clamping: id)
  }

  /// Writes what a row of zeros gives where the padding row was read.
  private func clear<Output: TableElement>(
    _ paddingID: Int, _ batch: TokenBatch, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ output: inout AlignedBuffer<Output>, _ kernels: Kernels
  ) throws(EmbedError) {
    var shape = shape
    shape.vocabulary = 1
    let bytes = [UInt8](repeating: 0, count: 4 * dim)
    let zeros = try RowTable(rows: 1, dim: dim, format: .float32, copying: bytes.span)
    var cleared = try AlignedBuffer<Output>(count: batch.ids.count * dim)
    try kernels.embed(
      ids: [Int64](repeating: 0, count: batch.ids.count), tokens: zeros, positions: positions,
      shape: shape, at: place, options: options, into: &cleared)
    for (token, id) in batch.ids.enumerated() where row(id) == paddingID {
      for i in token * dim..<(token + 1) * dim { output[i] = cleared[i] }
    }
  }
}
