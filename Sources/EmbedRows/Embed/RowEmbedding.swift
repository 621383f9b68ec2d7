// A language model's first layer on rows of any format: token rows, decoded and scaled, plus position rows.

public import EmbedKernel

/// Token rows of any format and absolute positions, composed, for inference.
///
/// Any number of threads may call `forward` at once; the layer keeps no state between calls. For layers
/// that are trained see `InputEmbedding`.
public final class RowEmbedding: Sendable {
  /// The token table.
  public let tokens: RowTable

  /// The position table `[maximum, dim]`, or nil where no positions are added.
  public let positions: EmbeddingTable<Float>?

  /// Scale, and what happens outside the tables.
  public let options: EmbedOptions

  /// The number of tokens.
  public var vocabulary: Int { tokens.rows }

  /// The number of columns of a vector.
  public var dim: Int { tokens.dim }

  /// The longest context, or nil where any is possible.
  public var maximumContext: Int? { positions?.rows }

  /// Composes tables, and shares them.
  ///
  /// - Parameters:
  ///   - positions: `nil` adds none.
  ///   - scale: What multiplies token rows before positions are added.
  ///   - unknownIDs: What to do with ids outside the vocabulary.
  ///   - positionOverflow: What to do with positions past the position table's last row.
  /// - Throws: `invalidSize` where the position table has another dim.
  public init(
    tokens: RowTable, positions: EmbeddingTable<Float>? = nil, scale: EmbeddingScale = .one,
    unknownIDs: UnknownIDs = .error, positionOverflow: PositionOverflow = .error
  ) throws(EmbedError) {
    if let positions, positions.dim != tokens.dim {
      throw .invalidSize(
        argument: "dim of the position table", value: positions.dim,
        expected: "the token table's, \(tokens.dim)")
    }
    self.tokens = tokens
    self.positions = positions
    options = EmbedOptions(
      scale: scale.factor(dim: tokens.dim), unknownIDs: unknownIDs,
      positionOverflow: positionOverflow)
  }

  /// Computes the input embeddings of a batch.
  ///
  ///     output[b, t, :] = scale * decoded(tokens[ids[b, t], :]) + positions[place(b, t), :]
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - place: Where each token stands; by default at its column.
  ///   - output: Shape `[batch, context, dim]`; `Float`, `BFloat16` or `Half`.
  ///   - kernels: The instruction set and threads; by default what suits the shape.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, batch: Int, context: Int, at place: PositionIDs = .sequential(),
    into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Output.Element: TableElement {
    try kernels.embed(
      ids: ids, tokens: tokens, positions: positions, shape: shape(batch: batch, context: context),
      at: place, options: options, into: &output)
  }

  /// The sizes of a call.
  public func shape(batch: Int, context: Int) -> EmbeddingShape {
    EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim)
  }

  /// Allocates an output `[batch, context, dim]`.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public func makeOutput<Element: TableElement>(
    _ type: Element.Type = Float.self, batch: Int, context: Int
  ) throws(EmbedError) -> AlignedBuffer<Element> {
    try AlignedBuffer(count: elementCount("output", batch, context, dim))
  }
}
