// The tied head with its derivative registered. A table that is both embedding and head gets the sum
// of the two tangents by the rules of differentiation alone.

internal import EmbedKernel
internal import _Differentiation

/// `scale * hidden * table^T`, shape `[rows, vocabulary]`.
///
/// - Parameters:
///   - hidden: Shape `[rows, dim]`.
///   - table: Shape `[vocabulary, dim]`.
/// - Precondition: Both exist, and their dims are equal.
@differentiable(reverse,wrt: (hidden, table))
public func tiedLogits(hidden: Matrix, table: Matrix, scale: Float = 1) -> Matrix {
  trapping { () throws(EmbedError) in
    let (head, states) = try tied(hidden, table, scale)
    let logits = allocate(hidden.rows, table.rows)
    try unsafe head.logits(
      UnsafeBufferPointer(states.unsafeBuffer), rows: hidden.rows, into: logits.unsafeBuffer)
    return Matrix(logits)
  }
}

/// The value, and the two products that are its gradients.
@derivative(of: tiedLogits, wrt: (hidden, table))
public func derivativeOfTiedLogits(
  hidden: Matrix, table: Matrix, scale: Float
) -> (value: Matrix, pullback: (Matrix) -> (Matrix, Matrix)) {
  (
    tiedLogits(hidden: hidden, table: table, scale: scale),
    { tangent in
      guard let logitGradient = tangent.table else { return (.zero, .zero) }
      return trapping { () throws(EmbedError) in
        let (head, states) = try tied(hidden, table, scale)
        let hiddenGradient = allocate(hidden.rows, hidden.dim)
        var tableGradient = try TableGradient(rows: table.rows, dim: table.dim)
        try unsafe head.backward(
          UnsafeBufferPointer(logitGradient.unsafeBuffer),
          hidden: UnsafeBufferPointer(states.unsafeBuffer), rows: hidden.rows,
          hiddenGradient: hiddenGradient.unsafeBuffer, tableGradient: &tableGradient)
        let values = tableGradient.values
        let total = try EmbeddingTable<Float>(rows: table.rows, dim: table.dim, copying: values)
        return (Matrix(hiddenGradient), Matrix(total))
      }
    }
  )
}

private func tied(
  _ hidden: Matrix, _ table: Matrix, _ scale: Float
) throws(EmbedError) -> (head: TiedProjection, states: EmbeddingTable<Float>) {
  guard let tokens = table.table else {
    throw .invalidSize(argument: "rows of the table", value: 0, expected: "1 or more")
  }
  guard let states = hidden.table else {
    throw .invalidSize(argument: "rows of hidden", value: 0, expected: "1 or more")
  }
  return (try TiedProjection(TokenEmbedding(table: tokens), scale: scale), states)
}
