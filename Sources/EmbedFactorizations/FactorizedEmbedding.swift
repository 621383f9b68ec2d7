// A factorised input layer, ALBERT's: rows of a narrow table, with whatever the fused layer adds,
// taken to the model's width by a matrix product.
//
// B batch, T context, N = B*T tokens, V vocabulary, r narrow width, D wide width.

public import EmbedKernel

/// An input layer whose table is `[vocabulary, r]` times `[r, dim]`.
///
///     output = fused(ids) * matrix + bias
///
/// At V = 30,000, r = 128 and D = 768 the factors hold 3.9 million numbers, the whole table 23.
public final class FactorizedEmbedding: Sendable {
  /// The layer of width r: tokens, positions, segments, normalisation, dropout.
  public let narrow: FusedInputEmbedding<Float>

  /// The way to the model's width.
  public let projection: FactorProjection

  /// The number of floats of an output row.
  public var dim: Int { projection.wide }

  /// Composes parts, and shares them.
  ///
  /// - Throws: `invalidSize` where the projection's narrow width is not the layer's dim.
  public init(
    _ narrow: FusedInputEmbedding<Float>, projection: FactorProjection
  ) throws(EmbedError) {
    guard narrow.dim == projection.narrow else {
      throw .invalidSize(
        argument: "narrow width of the projection", value: projection.narrow,
        expected: "the layer's dim, \(narrow.dim)")
    }
    self.narrow = narrow
    self.projection = projection
  }

  /// Computes the input embeddings of a batch.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - segmentIDs: Shape `[batch, context]`; without, all tokens are of segment 0.
  ///   - trainingStep: Which dropout mask to take; nil drops nothing.
  ///   - workspace: Holds the narrow rows.
  ///   - output: Shape `[batch, context, dim]`; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written. Allocates only in the workspace, and there
  ///   only where a batch is larger than any before.
  @inlinable
  public func forward<
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Segments: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ ids: borrowing IDs, segmentIDs: borrowing Segments = Optional<[Int32]>.none,
    batch: Int, context: Int,
    at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    workspace: inout FactorWorkspace, into output: inout Output, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Segments.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try unsafe segmentIDs.withElements { (segments) throws(EmbedError) in
        try unsafe output.withMutableElements { (output) throws(EmbedError) in
          try unsafe forward(
            TokenIDs(ids), segmentIDs.isAbsent ? nil : TokenIDs(segments),
            narrow.shape(batch: batch, context: context), place, trainingStep,
            &workspace, output, kernels)
        }
      }
    }
  }

  @usableFromInline
  func forward(
    _ ids: TokenIDs, _ segmentIDs: TokenIDs?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ step: UInt64?, _ workspace: inout FactorWorkspace,
    _ output: UnsafeMutableBufferPointer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    let counts = try shape.check()
    let wide = try unsafe MutableMatrixView("output", output, counts.ids, dim)
    let matrix = MatrixView("matrix", projection.matrix)
    try workspace.reserve(counts.output)
    let rows = try unsafe MatrixView(
      "narrow rows", UnsafeBufferPointer(workspace.rows(counts.output)), counts.ids, narrow.dim)
    try MatrixProduct.check(rows, matrix, wide.view)
    try wide.checkApart(from: matrix)
    if let bias = projection.bias { try wide.checkApart(from: MatrixView("bias", bias)) }
    try unsafe narrow.forward(
      ids, segmentIDs, shape, place, step,
      Elements(UnsafeBufferPointer(workspace.rows(counts.output))), kernels)
    projection.forward(rows, into: wide)
  }

  /// Computes the gradients of a batch.
  ///
  /// The narrow rows are computed again from the ids; nothing of the forward is needed.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - gradient: The narrow layer's: `rows` is d(x) `[N, r]`, for the sparse backward.
  ///   - factorGradient: The matrix's and the bias's; accumulates.
  /// - Throws: `EmbedError`, before a gradient is written.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Segments: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs,
    segmentIDs: borrowing Segments = Optional<[Int32]>.none,
    batch: Int, context: Int, at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    workspace: inout FactorWorkspace, into gradient: inout FusedEmbeddingGradient,
    factorGradient: inout FactorGradient, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Segments.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe segmentIDs.withElements { (segments) throws(EmbedError) in
          try unsafe backward(
            outputGradient, TokenIDs(ids), segmentIDs.isAbsent ? nil : TokenIDs(segments),
            narrow.shape(batch: batch, context: context), place, trainingStep,
            &workspace, &gradient, &factorGradient, kernels)
        }
      }
    }
  }

  @usableFromInline
  func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ segmentIDs: TokenIDs?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ step: UInt64?,
    _ workspace: inout FactorWorkspace, _ gradient: inout FusedEmbeddingGradient,
    _ factorGradient: inout FactorGradient, _ kernels: Kernels
  ) throws(EmbedError) {
    let counts = try shape.check()
    let wideGradient = try unsafe MatrixView(
      "output gradient", outputGradient, counts.ids, dim)
    try factorGradient.matrix.checkSizes(of: projection.matrix)
    guard gradient.fits(narrow) else {
      throw .invalidSize(
        argument: "dim of the gradient", value: gradient.dim,
        expected: "that of the layer the gradient was made for, \(narrow.dim)")
    }
    try workspace.reserve(counts.output)
    let rows = try unsafe MatrixView(
      "narrow rows", UnsafeBufferPointer(workspace.rows(counts.output)), counts.ids, narrow.dim)
    let narrowGradient = try unsafe MutableMatrixView(
      "narrow gradient", workspace.gradient(counts.output), counts.ids, narrow.dim)
    try MatrixProduct.check(rows, MatrixView("matrix", projection.matrix), wideGradient)
    try unsafe narrow.forward(
      ids, segmentIDs, shape, place, step,
      Elements(UnsafeBufferPointer(workspace.rows(counts.output))), kernels)
    try projection.backward(
      wideGradient, narrow: rows, narrowGradient: narrowGradient, &factorGradient)
    try unsafe narrow.backward(
      UnsafeBufferPointer(workspace.gradient(counts.output)), ids, segmentIDs, shape, place, step,
      &gradient, kernels)
  }
}

/// Memory for narrow rows and their gradient. It grows to the largest batch seen and stays.
public struct FactorWorkspace: ~Copyable {
  private var rowStorage: AlignedBuffer<Float>
  private var gradientStorage: AlignedBuffer<Float>

  /// Room for `capacity` rows of `narrow` floats.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init(capacity: Int = 0, narrow: Int = 1) throws(EmbedError) {
    let count = try elementCount("workspace", capacity, narrow)
    let rows = try AlignedBuffer<Float>(count: count)
    let gradient = try AlignedBuffer<Float>(count: count)
    rowStorage = rows
    gradientStorage = gradient
  }

  mutating func reserve(_ count: Int) throws(EmbedError) {
    guard count > rowStorage.count else { return }
    let rows = try AlignedBuffer<Float>(count: count)
    let gradient = try AlignedBuffer<Float>(count: count)
    rowStorage = rows
    gradientStorage = gradient
  }

  func rows(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
    unsafe UnsafeMutableBufferPointer(start: rowStorage.base, count: count)
  }

  func gradient(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
    unsafe UnsafeMutableBufferPointer(start: gradientStorage.base, count: count)
  }
}
