// An optimiser for a table that has grown or shrunk, with the state of its rows carried along.
//
// V rows of the old table, W of the new one, D dim.

public import EmbedKernel

extension TableOptimizer {
  /// An optimiser of the same rule and step count for a resized table.
  ///
  /// Brings all rows up to date first. Rows that are new start from fresh state, and owe nothing for
  /// the steps before they were there. Allocates the new state.
  ///
  /// - Parameters:
  ///   - table: The new table, made from this one's.
  ///   - change: How it was made.
  ///   - trainable: The rows of the new table that move; those without state so far start fresh.
  ///   - frozenRow: A row of it that never moves.
  /// - Throws: `invalidSize` for a table of another dim or a row outside it, `unsupported` for
  ///   positions of which not all rows move, `sizeOverflow`, `outOfMemory`.
  /// - Complexity: O((V + W)·D).
  public func resized(
    for table: EmbeddingTable<Float>, as change: RowResize, trainable: TrainableRows = .all,
    frozenRow: Int? = nil
  ) throws(EmbedError) -> TableOptimizer {
    guard table.dim == dim else {
      throw .invalidSize(
        argument: "dim of the resized table", value: table.dim, expected: "the table's, \(dim)")
    }
    if change == .positions, self.trainable != .all || trainable != .all {
      throw .unsupported(
        argument: "trainable rows of resized positions", value: "\(trainable)", expected: "all")
    }
    try synchronise()
    let resized = try TableOptimizer(rule, for: table, trainable: trainable, frozenRow: frozenRow)
    for array in stateArrays where array.byteCount > 0 {
      let (old, new) = unsafe (memory(of: array), resized.memory(of: array))
      if change == .vocabulary || table.rows == rows {
        let bytes = array.byteCount / array.shape[0]
        for row in 0..<min(rows, table.rows) {
          guard let from = stateRow(of: row), let to = resized.stateRow(of: row) else { continue }
          let state = unsafe old[from * bytes..<(from + 1) * bytes]
          unsafe UnsafeMutableRawBufferPointer(rebasing: new[(to * bytes)...])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: state))
        }
      } else if array.element == .float32 {
        let state = unsafe Span<Float>(
          _unsafeElements: UnsafeBufferPointer(old.assumingMemoryBound(to: Float.self)))
        let stretched = try OptimizerState.resized(
          state, rows: rows, to: table.rows, as: .positions)
        unsafe new.copyMemory(from: UnsafeRawBufferPointer(stretched.unsafeBuffer))
      } else if array.element == .bfloat16 {
        let state = unsafe Span<BFloat16>(
          _unsafeElements: UnsafeBufferPointer(old.assumingMemoryBound(to: BFloat16.self)))
        let wide = (0..<state.count).map { state[$0].float }
        let stretched = try OptimizerState.resized(
          wide.span, rows: rows, to: table.rows, as: .positions)
        for i in 0..<stretched.count {
          unsafe new.storeBytes(
            of: BFloat16(stretched[i]).bitPattern, toByteOffset: 2 * i, as: UInt16.self)
        }
      }
      // What rounding took from the old rows says nothing of those in between.
    }
    try resized.restart(at: stepCount)
    return resized
  }
}

extension Optimizer {
  /// An optimiser of the same rule and step count for a layer whose vocabulary, position table or both
  /// were resized; see ``TableOptimizer/resized(for:as:trainable:frozenRow:)``.
  ///
  /// - Throws: `invalidSize` for a layer of another dim, or one without the trained positions of the
  ///   old one; `unsupported`, `sizeOverflow`, `outOfMemory`.
  public func resized(
    for layer: InputEmbedding, trainable: TrainableRows = .all
  ) throws(EmbedError) -> Optimizer {
    let trained = layer.positionsAreTrained ? layer.positions : nil
    guard (trained == nil) == (positions == nil) else {
      throw .invalidSize(
        argument: "trained positions of the resized layer", value: trained?.rows ?? 0,
        expected: positions == nil ? "none" : "1 or more")
    }
    let tokens = try tokens.resized(
      for: layer.tokens.table, as: .vocabulary, trainable: trainable,
      frozenRow: layer.tokens.paddingID)
    var moved: TableOptimizer?
    if let positions, let trained { moved = try positions.resized(for: trained, as: .positions) }
    return try Optimizer(layer, tokens, moved)
  }
}
