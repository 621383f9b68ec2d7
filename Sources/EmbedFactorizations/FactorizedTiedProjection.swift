// The output head of a factorised table, ALBERT's: hidden states go back to the narrow width by the
// matrix that took the rows to the model's, then against the rows of the narrow table.
//
// N rows of hidden state, V vocabulary, r narrow width, D wide width.

public import EmbedKernel

/// Logits against a table `[vocabulary, r]` times `[r, dim]`, without ever forming it.
///
///     logits = scale * (hidden * matrix^T) * table^T
///
/// At V = 30,000, r = 128 and D = 768 that is 4.0 million products a row; the whole table takes 23.
/// Table and matrix are those of the input, by reference, and so are their gradients. The
/// projection's bias and whatever else the input layer adds have no part in it.
public final class FactorizedTiedProjection: Sendable {
  /// The head of the narrow table.
  public let head: TiedProjection

  /// The matrix, shape `[r, dim]`.
  public let projection: FactorProjection

  /// Ties a head to the tables of `embedding`.
  ///
  /// - Throws: `invalidValue` for a scale that is not finite.
  public init(_ embedding: FactorizedEmbedding, scale: Float = 1) throws(EmbedError) {
    head = try TiedProjection(embedding.narrow.embedding.tokens, scale: scale)
    projection = embedding.projection
  }

  /// Computes the logits of `rows` hidden states through `cblas_sgemm`, twice.
  ///
  /// - Parameters:
  ///   - hidden: Shape `[rows, dim]`.
  ///   - workspace: Holds the narrow hidden states.
  ///   - logits: Shape `[rows, vocabulary]`, overwritten; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before the logits are written. Allocates only in the workspace, and
  ///   there only for more rows than ever before. The bits may depend on OpenBLAS's threads and core.
  @inlinable
  public func logits<
    Hidden: ReadableElements<Float> & ~Copyable & ~Escapable,
    Logits: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ hidden: borrowing Hidden, rows: Int, workspace: inout FactorWorkspace,
    into logits: inout Logits
  ) throws(EmbedError) {
    try unsafe hidden.withElements { (hidden) throws(EmbedError) in
      try unsafe logits.withMutableElements { (logits) throws(EmbedError) in
        try unsafe self.logits(hidden, rows, &workspace, logits)
      }
    }
  }

  @usableFromInline
  func logits(
    _ hidden: UnsafeBufferPointer<Float>, _ rows: Int, _ workspace: inout FactorWorkspace,
    _ output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    let call = try unsafe Call(self, hidden, rows, &workspace)
    let wide = try unsafe MutableMatrixView("logits", output, rows, head.tokens.vocabulary)
    try wide.checkApart(from: call.hidden, call.matrix)
    call.narrowHidden()
    try unsafe head.logits(UnsafeBufferPointer(call.narrowMemory), rows: rows, into: output)
  }

  /// Computes the gradients of the logits through `cblas_sgemm`.
  ///
  ///     u = hidden * matrix^T, u' = scale * logitGradient * table
  ///     hiddenGradient = u' * matrix
  ///     factorGradient.matrix += u'^T * hidden
  ///     tableGradient += scale * logitGradient^T * u
  ///
  /// The padding row's gradient is set to 0: that row is never moved.
  ///
  /// - Parameters:
  ///   - logitGradient: Shape `[rows, vocabulary]`.
  ///   - hidden: Shape `[rows, dim]`, as given to `logits`.
  ///   - workspace: Holds the narrow hidden states and their gradient.
  ///   - hiddenGradient: Shape `[rows, dim]`, overwritten; shares no memory with the inputs.
  ///   - tableGradient: That of the narrow table; accumulates.
  ///   - factorGradient: The matrix's; accumulates. The bias's is left as it is.
  /// - Throws: `EmbedError`, before a gradient is written. Allocates as `logits` does.
  @inlinable
  public func backward<
    Logits: ReadableElements<Float> & ~Copyable & ~Escapable,
    Hidden: ReadableElements<Float> & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ logitGradient: borrowing Logits, hidden: borrowing Hidden, rows: Int,
    workspace: inout FactorWorkspace, hiddenGradient: inout Output,
    tableGradient: inout TableGradient, factorGradient: inout FactorGradient
  ) throws(EmbedError) {
    try unsafe logitGradient.withElements { (logitGradient) throws(EmbedError) in
      try unsafe hidden.withElements { (hidden) throws(EmbedError) in
        try unsafe hiddenGradient.withMutableElements { (hiddenGradient) throws(EmbedError) in
          try unsafe backward(
            logitGradient, hidden, rows, &workspace, hiddenGradient, &tableGradient,
            &factorGradient)
        }
      }
    }
  }

  @usableFromInline
  func backward(
    _ logitMemory: UnsafeBufferPointer<Float>, _ hidden: UnsafeBufferPointer<Float>, _ rows: Int,
    _ workspace: inout FactorWorkspace, _ hiddenGradient: UnsafeMutableBufferPointer<Float>,
    _ tableGradient: inout TableGradient, _ factorGradient: inout FactorGradient
  ) throws(EmbedError) {
    let call = try unsafe Call(self, hidden, rows, &workspace)
    let narrow = unsafe workspace.gradient(call.count)
    let narrowGradient = try unsafe MatrixView(
      "narrow gradient", UnsafeBufferPointer(narrow), rows, projection.narrow)
    let target = try unsafe MutableMatrixView(
      "hidden gradient", hiddenGradient, rows, projection.wide)
    try factorGradient.matrix.checkSizes(of: projection.matrix)
    let matrixGradient = try unsafe MutableMatrixView(
      "matrix gradient", factorGradient.matrix.unsafeBuffer, projection.narrow, projection.wide)
    try unsafe target.checkApart(
      from: call.hidden, call.matrix, matrixGradient.view,
      MatrixView("logit gradient", logitMemory, rows, head.tokens.vocabulary))
    call.narrowHidden()
    try unsafe head.backward(
      logitMemory, hidden: UnsafeBufferPointer(call.narrowMemory), rows: rows,
      hiddenGradient: narrow, tableGradient: &tableGradient)
    MatrixProduct.multiply(narrowGradient, call.matrix, .overwrite, target)
    MatrixProduct.multiply(narrowGradient.transposed, call.hidden, .add, matrixGradient)
  }

  /// A call's hidden states, checked, and where they go at the narrow width.
  @safe private struct Call {
    let hidden: MatrixView
    let matrix: MatrixView
    let narrow: MutableMatrixView
    let narrowMemory: UnsafeMutableBufferPointer<Float>

    var count: Int { unsafe narrowMemory.count }

    init(
      _ owner: FactorizedTiedProjection, _ hidden: UnsafeBufferPointer<Float>, _ rows: Int,
      _ workspace: inout FactorWorkspace
    ) throws(EmbedError) {
      try checkRows(rows)
      let (r, wide) = (owner.projection.narrow, owner.projection.wide)
      self.hidden = try unsafe MatrixView("hidden", hidden, rows, wide)
      matrix = MatrixView("matrix", owner.projection.matrix)
      try MatrixProduct.check(self.hidden, matrix)
      let count = try elementCount("narrow hidden", rows, r)
      try workspace.reserve(count)
      unsafe narrowMemory = workspace.rows(count)
      narrow = try unsafe MutableMatrixView("narrow hidden", narrowMemory, rows, r)
    }

    /// u = hidden * matrix^T
    func narrowHidden() {
      MatrixProduct.multiply(hidden, matrix.transposed, .overwrite, narrow)
    }
  }
}
