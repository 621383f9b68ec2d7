// The output head that shares the token table (Press and Wolf, "Using the Output Embedding to Improve
// Language Models", 2017): logits by one matrix product, and its two gradients.
//
// N rows of hidden state, V vocabulary, D dim.

/// Logits against the rows of the token table.
///
///     logits = scale * hidden * table^T
///
/// The table is that of the input, by reference: a step moves both. Its gradient is one, too: give
/// `backward` the `TableGradient` that the input's part is added to.
public final class TiedProjection: Sendable {
  /// The token table, shape `[vocabulary, dim]`.
  public let tokens: TokenEmbedding

  /// Multiplies the logits: 1, or `1 / sqrt(dim)` as in T5.
  public let scale: Float

  /// Ties a head to `tokens`.
  ///
  /// - Throws: `invalidValue` for a scale that is not finite.
  public init(_ tokens: TokenEmbedding, scale: Float = 1) throws(EmbedError) {
    guard scale.isFinite else {
      throw .invalidValue(
        argument: "logit scale", value: Double(scale), expected: "a finite number")
    }
    self.tokens = tokens
    self.scale = scale
  }

  /// Computes the logits of `rows` hidden states through `cblas_sgemm`.
  ///
  /// - Parameters:
  ///   - hidden: Shape `[rows, dim]`.
  ///   - logits: Shape `[rows, vocabulary]`, overwritten; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written; `invalidSize` for sizes past BLAS's
  ///   integers, `unavailableLibrary`. Allocates nothing itself. The bits depend on no number of threads;
  ///   another CPU's may differ.
  @inlinable
  public func logits<
    Hidden: ReadableElements<Float> & ~Copyable & ~Escapable,
    Logits: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ hidden: borrowing Hidden, rows: Int, into logits: inout Logits
  ) throws(EmbedError) {
    try unsafe hidden.withElements { (hidden) throws(EmbedError) in
      try unsafe logits.withMutableElements { (logits) throws(EmbedError) in
        try unsafe self.logits(hidden, rows: rows, into: logits)
      }
    }
  }

  /// The same on buffer pointers.
  public func logits(
    _ hidden: UnsafeBufferPointer<Float>, rows: Int, into logits: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try checkRows(rows)
    let table = MatrixView("table", tokens.table)
    let hidden = try unsafe MatrixView("hidden", hidden, rows, tokens.dim)
    let logits = try unsafe MutableMatrixView("logits", logits, rows, tokens.vocabulary)
    try MatrixProduct.check(table, hidden, logits.view)
    try logits.checkApart(from: hidden, table)
    MatrixProduct.multiply(hidden, table.transposed, scale: scale, .overwrite, logits)
  }

  /// Computes the two gradients of the logits through `cblas_sgemm`.
  ///
  ///     hiddenGradient = scale * logitGradient * table
  ///     tableGradient += scale * logitGradient^T * hidden
  ///
  /// The padding row's gradient is set to 0: that row is never moved.
  ///
  /// - Parameters:
  ///   - logitGradient: Shape `[rows, vocabulary]`.
  ///   - hidden: Shape `[rows, dim]`, as given to `logits`.
  ///   - hiddenGradient: Shape `[rows, dim]`, overwritten; shares no memory with the inputs.
  ///   - tableGradient: That of the whole table; accumulates.
  /// - Throws: `EmbedError`, before anything is written. Allocates nothing itself.
  @inlinable
  public func backward<
    Logits: ReadableElements<Float> & ~Copyable & ~Escapable,
    Hidden: ReadableElements<Float> & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ logitGradient: borrowing Logits, hidden: borrowing Hidden, rows: Int,
    hiddenGradient: inout Output, tableGradient: inout TableGradient
  ) throws(EmbedError) {
    try unsafe logitGradient.withElements { (logitGradient) throws(EmbedError) in
      try unsafe hidden.withElements { (hidden) throws(EmbedError) in
        try unsafe hiddenGradient.withMutableElements { (hiddenGradient) throws(EmbedError) in
          try unsafe backward(
            logitGradient, hidden: hidden, rows: rows, hiddenGradient: hiddenGradient,
            tableGradient: &tableGradient)
        }
      }
    }
  }

  /// The same on buffer pointers.
  public func backward(
    _ logitGradient: UnsafeBufferPointer<Float>, hidden: UnsafeBufferPointer<Float>, rows: Int,
    hiddenGradient: UnsafeMutableBufferPointer<Float>, tableGradient: inout TableGradient
  ) throws(EmbedError) {
    try checkRows(rows)
    let (vocabulary, dim) = (tokens.vocabulary, tokens.dim)
    try tableGradient.checkSizes(of: tokens.table)
    let table = MatrixView("table", tokens.table)
    let hidden = try unsafe MatrixView("hidden", hidden, rows, dim)
    let logitGradient = try unsafe MatrixView("logit gradient", logitGradient, rows, vocabulary)
    let hiddenGradient = try unsafe MutableMatrixView(
      "hidden gradient", hiddenGradient, rows, dim)
    let target = try unsafe MutableMatrixView(
      "table gradient", tableGradient.unsafeBuffer, vocabulary, dim)
    try MatrixProduct.check(table, hidden, logitGradient, hiddenGradient.view)
    try hiddenGradient.checkApart(from: logitGradient, hidden, table, target.view)
    MatrixProduct.multiply(logitGradient, table, scale: scale, .overwrite, hiddenGradient)
    MatrixProduct.multiply(logitGradient.transposed, hidden, scale: scale, .add, target)
    if let paddingID = tokens.paddingID { tableGradient.clear(row: paddingID) }
  }
}

/// - Throws: `invalidSize` for a negative number of rows.
package func checkRows(_ rows: Int) throws(EmbedError) {
  guard rows >= 0 else {
    throw .invalidSize(argument: "rows", value: rows, expected: "0 or more")
  }
}
