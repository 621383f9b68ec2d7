// What callers ask of a head: losses, and the gradients of hidden states and table.

public import EmbedKernel

extension ShardedHead {
  /// Computes the loss of each of this rank's rows, in nats.
  ///
  /// - Parameters:
  ///   - hidden: Shape `[rows, dim]`; ranks may have different numbers of rows, and none.
  ///   - targets: The token that each row is to foretell.
  ///   - losses: Shape `[rows]`.
  /// - Returns: The mean loss over the rows of all ranks, on each of them.
  /// - Throws: `invalid` for sizes and ids, on the other ranks `refused`; `disagreement` for ranks that make
  ///   different calls; `timeOut` and `transport`.
  /// - Complexity: Five exchanges for every 64 rows of all ranks or more. Sends (R - 1)·(4 + 4·D)·n bytes of
  ///   targets and states, and (R - 1)·(4 + 8·c)·N for c blocks of this rank.
  @inlinable
  public func losses<
    Hidden: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Losses: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ hidden: borrowing Hidden, targets: borrowing IDs, rows: Int, into losses: inout Losses
  ) throws(DistributedError) -> Double where IDs.Element: TokenID {
    try unsafe hidden.withElements { (hidden) throws(DistributedError) in
      try unsafe targets.withElements { (targets) throws(DistributedError) in
        try unsafe losses.withMutableElements { (losses) throws(DistributedError) in
          try unsafe self.losses(hidden, TokenIDs(targets), rows, losses)
        }
      }
    }
  }

  @usableFromInline
  func losses(
    _ hidden: UnsafeBufferPointer<Float>, _ targets: TokenIDs, _ rows: Int,
    _ losses: UnsafeMutableBufferPointer<Float>
  ) throws(DistributedError) -> Double {
    var fault: DistributedError?
    do throws(EmbedError) {
      try unsafe check(hidden, targets, rows)
      guard losses.count == rows else {
        throw .wrongElementCount(
          argument: "losses", expected: rows, shape: [rows], actual: losses.count)
      }
    } catch {
      fault = .invalid(error)
    }
    return try unsafe run(
      hidden.baseAddress, targets, rows, losses: losses.baseAddress, nil, fault)
  }

  /// Computes the gradients of the mean loss over the rows of all ranks.
  ///
  ///     logitGradient = weight / N * (softmax(logits) - [target])
  ///     hiddenGradient = scale * logitGradient * table;  tableGradient (+)= scale * logitGradient^T * hidden
  ///
  /// The table's gradient is of this rank's rows. Where the input shares the table, add the layer's token
  /// gradient to it (`TableGradient.add`), and step the table by the sum (`ShardedOptimizer.tokens`).
  ///
  /// - Parameters:
  ///   - hidden: Shape `[rows, dim]`.
  ///   - targets: The token that each row is to foretell.
  ///   - weight: Multiplies the gradients; the same on all ranks.
  ///   - hiddenGradient: Shape `[rows, dim]`, overwritten.
  ///   - tableGradient: Of `makeGradient`.
  ///   - writing: Whether the table's gradient replaces what `tableGradient` holds or is added to it.
  /// - Returns: The mean loss over the rows of all ranks.
  /// - Throws: As `losses`; before anything is written.
  /// - Complexity: As `losses`, and 4·s·D·(N - n) bytes of hidden gradients, for s sums of this rank's blocks:
  ///   one where the ranks are a power of two that divides the number of blocks.
  @inlinable
  public func gradients<
    Hidden: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Output: WritableElements<Float> & ~Copyable & ~Escapable
  >(
    _ hidden: borrowing Hidden, targets: borrowing IDs, rows: Int, weight: Float = 1,
    into hiddenGradient: inout Output, tableGradient: inout TableGradient,
    _ writing: GradientWriting = .overwrite
  ) throws(DistributedError) -> Double where IDs.Element: TokenID {
    try unsafe hidden.withElements { (hidden) throws(DistributedError) in
      try unsafe targets.withElements { (targets) throws(DistributedError) in
        try unsafe hiddenGradient.withMutableElements { (output) throws(DistributedError) in
          try unsafe self.gradients(
            hidden, TokenIDs(targets), rows, weight, output, &tableGradient, writing)
        }
      }
    }
  }

  @usableFromInline
  func gradients(
    _ hidden: UnsafeBufferPointer<Float>, _ targets: TokenIDs, _ rows: Int, _ weight: Float,
    _ output: UnsafeMutableBufferPointer<Float>, _ tableGradient: inout TableGradient,
    _ writing: GradientWriting
  ) throws(DistributedError) -> Double {
    var fault: DistributedError?
    do throws(EmbedError) {
      try unsafe check(hidden, targets, rows)
      guard output.count == rows * table.dim else {
        throw .wrongElementCount(
          argument: "hidden gradient", expected: rows * table.dim, shape: [rows, table.dim],
          actual: output.count)
      }
      guard weight.isFinite else {
        throw .invalidValue(
          argument: "weight", value: Double(weight), expected: "a finite number")
      }
      let shard = table.shard
      for (name, value, expected) in [
        ("rows", tableGradient.rows, shard.rows), ("dim", tableGradient.dim, shard.dim),
      ] where value != expected {
        throw .invalidSize(
          argument: "\(name) of the table gradient", value: value, expected: "\(expected)")
      }
    } catch {
      fault = .invalid(error)
    }
    let gradients = unsafe Gradients(
      hidden: output.baseAddress ?? UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped,
      table: tableGradient.unsafeBuffer.baseAddress.unsafelyUnwrapped, writing: writing,
      weight: weight)
    return try unsafe run(hidden.baseAddress, targets, rows, losses: nil, gradients, fault)
  }

  private func check(
    _ hidden: UnsafeBufferPointer<Float>, _ targets: TokenIDs, _ rows: Int
  ) throws(EmbedError) {
    try checkRows(rows)
    let count = try elementCount("hidden", rows, table.dim)
    guard hidden.count == count else {
      throw .wrongElementCount(
        argument: "hidden", expected: count, shape: [rows, table.dim], actual: hidden.count)
    }
    guard targets.count == rows else {
      throw .wrongElementCount(
        argument: "targets", expected: rows, shape: [rows], actual: targets.count)
    }
    if let error = targets.firstOutside(table.rows, context: max(1, rows)) { throw error }
  }
}
