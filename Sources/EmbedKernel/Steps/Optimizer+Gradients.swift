// Steps by gradients that backward has written to memory: those of the layer's backward, and the one
// gradient of a table that is tied to the output.

extension Optimizer {
  /// Steps by the gradients that the layer's backward made.
  ///
  /// - Parameters:
  ///   - gradient: Of both tables; frozen rows in it are passed over.
  ///   - scale: Multiplies both gradients, such as a clipping factor.
  /// - Throws: `invalidSize` for gradients of other shapes, `invalidValue` for a scale that is not
  ///   finite; before anything is written.
  public func step(
    _ gradient: borrowing InputGradient, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try step(
      tokens: gradient.tokens, positions: gradient.positions, scale: scale, using: kernels)
  }

  /// Steps by gradients of the two tables.
  ///
  /// - Parameters:
  ///   - tokens: Of the token table.
  ///   - positions: Of the position table; not read where positions are not trained.
  ///   - scale: Multiplies both, such as a clipping factor.
  /// - Throws: `invalidSize` for gradients of other shapes, `invalidValue` for a scale that is not
  ///   finite; before anything is written.
  public func step(
    tokens: borrowing RowSparseGradient, positions: borrowing RowSparseGradient, scale: Float = 1,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try checkPositions(positions)
    try self.tokens.step(tokens, scale: scale, using: kernels)
    try self.positions?.step(positions, scale: scale, using: kernels)
  }

  /// Steps by the one gradient of a table that is tied to the output, and that of the positions: every
  /// trainable token row moves, but the padding row.
  ///
  ///     try head.backward(..., tableGradient: &table)
  ///     try layer.backward(..., into: &gradient)
  ///     try table.add(gradient.tokens)
  ///     try optimizer.step(tokens: table, positions: gradient.positions)
  ///
  /// - Parameters:
  ///   - tokens: Of the whole token table.
  ///   - positions: Of the position table; not read where positions are not trained.
  ///   - scale: Multiplies both, such as a clipping factor.
  /// - Throws: `invalidSize` for gradients of other shapes, `invalidValue` for a scale that is not
  ///   finite; before anything is written.
  public func step(
    tokens: borrowing TableGradient, positions: borrowing RowSparseGradient, scale: Float = 1,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try checkPositions(positions)
    try self.tokens.step(tokens, scale: scale, using: kernels)
    try self.positions?.step(positions, scale: scale, using: kernels)
  }

  private func checkPositions(_ gradient: borrowing RowSparseGradient) throws(EmbedError) {
    guard let positions else { return }
    try positions.checkShape("position gradient", rows: gradient.rows, dim: gradient.dim)
  }
}
