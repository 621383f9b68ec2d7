// Batches as values, for loops that would rather iterate than keep buffers.

/// One batch, in arrays of its own.
public struct WindowBatch: Sendable, Equatable {
  /// Its index in the loader, to resume from the next.
  public var index: Int
  /// Rows, B.
  public var rows: Int
  /// Tokens in a row, T.
  public var context: Int
  /// Ids, `[rows, context]`.
  public var inputs: [Int32]
  /// The ids one later, `[rows, context]`.
  public var targets: [Int32]
}

extension WindowLoader {
  /// A batch in new arrays. Errors are those of filling buffers with it.
  public func batch(_ index: Int) throws(DataError) -> WindowBatch {
    guard (0..<batchCount).contains(index) else {
      throw .batchOutOfRange(index: index, count: batchCount)
    }
    let rows = rows(inBatch: index)
    var inputs = [Int32](repeating: 0, count: rows * context)
    var targets = inputs
    var inputSpan = inputs.mutableSpan
    var targetSpan = targets.mutableSpan
    try fill(batch: index, inputs: &inputSpan, targets: &targetSpan)
    return WindowBatch(
      index: index, rows: rows, context: context, inputs: inputs, targets: targets)
  }

  /// The batches from `first` on, each in new arrays. A batch is a failure only where a file holds
  /// an id over `Int32.max`; a negative `first` counts as 0.
  public func batches(from first: Int = 0) -> some Sequence<Result<WindowBatch, DataError>> {
    (min(max(0, first), batchCount)..<batchCount).lazy.map { index in
      do throws(DataError) {
        return .success(try batch(index))
      } catch {
        return .failure(error)
      }
    }
  }
}
