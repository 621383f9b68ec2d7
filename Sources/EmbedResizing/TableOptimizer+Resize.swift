// An optimiser for a table that has grown or shrunk, with the state of its rows carried along.
//
// V rows of the old table, W of the new one, D dim.

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
    try checkShape("resized table", rows: rows, dim: table.dim)
    if change == .positions, self.trainable != .all || trainable != .all {
      throw .unsupported(
        argument: "trainable rows of resized positions", value: "\(trainable)", expected: "all")
    }
    try synchronise()
    let resized = try TableOptimizer(rule, for: table, trainable: trainable, frozenRow: frozenRow)
    let layout = rule.state
    if change == .vocabulary || table.rows == rows {
      for slot in 0..<resized.slotCount {
        let row = resized.rowList.count > 0 ? Int(resized.rowList[slot]) : slot
        guard row < rows else { break }
        let old = slots.count > 0 ? Int(slots[row]) : row
        if old >= 0 { copyState(of: old, to: resized, slot) }
      }
    } else {
      // What rounding took from the old rows says nothing of those in between.
      if layout.first != nil { resized.first = try interpolated(first, table.rows) }
      if layout.second != nil { resized.second = try interpolated(second, table.rows) }
      if layout.row != nil { resized.rowState = try interpolated(rowState, table.rows) }
    }
    resized.missedSteps?.restart(at: stepCount)
    resized.stepCount = stepCount
    resized.currentSteps = (stepCount, stepCount)
    unsafe resized.parameterSteps.unsafeBuffer.update(repeating: Int32(stepCount))
    unsafe resized.momentSteps.unsafeBuffer.update(repeating: Int32(stepCount))
    return resized
  }

  private func interpolated(
    _ state: borrowing AlignedBuffer<Float>, _ newRows: Int
  ) throws(EmbedError) -> AlignedBuffer<Float> {
    let state = unsafe Span(_unsafeElements: UnsafeBufferPointer(state.unsafeBuffer))
    return try OptimizerState.resized(state, rows: rows, to: newRows, as: .positions)
  }

  private func copyState(of slot: Int, to other: TableOptimizer, _ otherSlot: Int) {
    copy(first, slot * dim, to: other.first, otherSlot * dim, dim)
    copy(second, slot * dim, to: other.second, otherSlot * dim, dim)
    copy(residual, slot * dim, to: other.residual, otherSlot * dim, dim)
    copy(rowState, slot, to: other.rowState, otherSlot, 1)
  }

  private func copy<Element>(
    _ from: borrowing AlignedBuffer<Element>, _ start: Int,
    to: borrowing AlignedBuffer<Element>, _ otherStart: Int, _ count: Int
  ) {
    guard from.count > 0 else { return }
    unsafe (to.base + otherStart).update(from: from.base + start, count: count)
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
