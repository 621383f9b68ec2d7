// An optimiser's state when its table grows or shrinks: arrays of one value a row or one an element
// (momentum, second moments, sums of squares, steps), mapped as the table's rows are.

public import EmbedKernel

/// How a table's rows changed.
public enum RowResize: Hashable, Sendable {
  /// As `TokenEmbedding.resized`: the old rows, as many as fit, then new ones, whose state is zero
  /// like that of a fresh table.
  case vocabulary

  /// As `EmbeddingTable.interpolated`: each row's state is on the line between those of its
  /// neighbours. Linear whatever the table's interpolation, because a cubic may fall below zero,
  /// and second moments must not.
  case positions
}

/// Mapping of state arrays.
public enum OptimizerState {
  /// A state array for a table that went from `rows` rows to `newRows`.
  ///
  /// Allocates the result. Apply it to each of an optimiser's arrays; numbers that belong to the
  /// whole table, such as the step, stay what they are.
  ///
  /// - Parameters:
  ///   - state: Shape `[rows, dim]` or `[rows]`.
  ///   - rows: The rows of the old table.
  ///   - newRows: The rows of the new table.
  ///   - change: How the table was resized.
  /// - Returns: Shape `[newRows, dim]` or `[newRows]`.
  /// - Throws: `invalidSize` for less than one row, `wrongElementCount` where the state is not a
  ///   whole number of values a row, `sizeOverflow`, `outOfMemory`.
  public static func resized(
    _ state: Span<Float>, rows: Int, to newRows: Int, as change: RowResize
  ) throws(EmbedError) -> AlignedBuffer<Float> {
    for (argument, value) in [("rows", rows), ("new rows", newRows)] where value < 1 {
      throw .invalidSize(argument: argument, value: value, expected: "1 or more")
    }
    let width = state.count / rows
    guard width > 0, width * rows == state.count else {
      throw .wrongElementCount(
        argument: "state", expected: max(1, width) * rows, shape: [rows, max(1, width)],
        actual: state.count)
    }
    let result = try AlignedBuffer<Float>(count: elementCount("state", newRows, width))
    unsafe state.withUnsafeBufferPointer { old in
      switch change {
      case .vocabulary:
        let kept = min(rows, newRows) * width
        unsafe _ = result.unsafeBuffer.update(
          fromContentsOf: UnsafeBufferPointer(rebasing: old[..<kept]))
      case .positions:
        unsafe interpolateRows(
          old, rows: rows, dim: width, into: result.unsafeBuffer, newRows, by: .linear)
      }
    }
    return result
  }
}
