// An optimiser's table and state as they stand, for a run that another process goes on with: rows that
// are behind stay behind, so that the run's bits are those of one that was never cut in two.

internal import EmbedKernel

extension TableOptimizer {
  /// Gives `body` the values that steps are computed on, shape `[rows, dim]`, as they stand: those of
  /// the table or of its master rows; nothing where a table is rounded at random.
  func withStandingValues<Failure: Error>(
    _ body: (Span<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    guard let table else { return }
    // The storage itself: other ways to a table's rows may bring them up to date.
    let memory = unsafe UnsafeBufferPointer(table.storage.unsafeBuffer)
    try body(unsafe Span(_unsafeElements: memory))
  }

  /// Gives `body` each array of the state as it stands, its bytes in the machine's order.
  func forEachStandingArray<Failure: Error>(
    _ body: (StateArray, RawSpan) throws(Failure) -> Void
  ) throws(Failure) {
    for array in stateArrays {
      let memory = unsafe memory(of: array)
      try body(array, unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory)))
    }
  }
}
