// The forms of gradient that a table steps by: listed rows, dense, and the output gradient itself.

internal import CMicrokernels

extension TableOptimizer {
  /// Steps by a row-sparse gradient.
  ///
  /// - Parameters:
  ///   - gradient: Of a table of this shape; frozen rows in it are passed over.
  ///   - scale: Multiplies the gradient first, such as a clipping factor.
  /// - Throws: `invalidSize` for a gradient of another shape, `invalidValue` for a scale that is not
  ///   finite, `outOfMemory`; before anything is written.
  /// - Complexity: O(R·D) for R listed rows, or O(V·D) where untouched rows step. Memory traffic: the
  ///   gradient read, the touched rows and their state read and written, once.
  public func step(
    _ gradient: borrowing RowSparseGradient, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try checkShape("gradient", rows: gradient.rows, dim: gradient.dim)
    let sparse = unsafe Gradient(
      form: EK_BY_INDEX, values: UnsafePointer(gradient.valueMemory),
      rows: UnsafePointer(gradient.rowIDMemory), count: gradient.count, scale: scale)
    try step(sparse, kernels)
  }

  /// Steps by a dense gradient, every trainable row.
  ///
  /// - Parameters:
  ///   - gradient: Shape `[rows, dim]`.
  ///   - scale: Multiplies the gradient first.
  /// - Throws: `wrongElementCount`, `invalidValue`, `outOfMemory`; before anything is written.
  public func step(
    dense gradient: Span<Float>, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    guard gradient.count == rows * dim else {
      throw .wrongElementCount(
        argument: "gradient", expected: rows * dim, shape: [rows, dim],
        actual: gradient.count)
    }
    let values = unsafe gradient.withUnsafeBufferPointer { unsafe $0 }
    let rows = unsafe rowList.count > 0 ? UnsafePointer(rowList.base) : nil
    let dense = unsafe Gradient(
      form: EK_BY_ROW, values: values.baseAddress.unsafelyUnwrapped, rows: rows, count: slotCount,
      scale: scale)
    try step(dense, kernels)
  }

  /// Steps by the one gradient of a tied table, every trainable row.
  ///
  /// - Throws: `invalidSize` for a gradient of another shape, `invalidValue`, `outOfMemory`; before
  ///   anything is written.
  public func step(
    _ gradient: borrowing TableGradient, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try checkShape("gradient", rows: gradient.rows, dim: gradient.dim)
    try step(dense: gradient.values, scale: scale, using: kernels)
  }

  /// Steps by the gradient of the forward pass's output, in one pass: each row's gradient is summed
  /// where the row is stepped, and never written to memory.
  ///
  /// A row's gradients are summed in the order of the batch.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch * context, dim]`.
  ///   - groups: Which of its rows belong to which row of the table.
  ///   - scale: Multiplies the gradient first: the scale of the forward pass, for one.
  /// - Throws: `wrongElementCount` where the groups name more tokens than there are, `tokenOutOfRange`
  ///   for a row past the table, `invalidValue`, `outOfMemory`; before anything is written.
  /// - Complexity: O(N·D) for N tokens. Memory traffic: the output gradient read, the touched rows and
  ///   their state read and written, once.
  public func step(
    outputGradient: Span<Float>, groups: borrowing RowGroups, scale: Float = 1,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let view = groups.unsafeView
    try check(view)
    var last: Int32 = -1
    for i in 0..<view.tokenCount { unsafe last = max(last, view.tokens[i]) }
    guard outputGradient.count % dim == 0, Int(last) < outputGradient.count / dim else {
      throw .wrongElementCount(
        argument: "output gradient", expected: (Int(last) + 1) * dim, shape: [Int(last) + 1, dim],
        actual: outputGradient.count)
    }
    let values = unsafe outputGradient.withUnsafeBufferPointer { $0.baseAddress }
    try unsafe step(values, view, scale, kernels)
  }

  /// The same for groups that have been checked.
  func step(
    _ outputGradient: UnsafePointer<Float>?, _ groups: RowGroupView, _ scale: Float,
    _ kernels: Kernels
  ) throws(EmbedError) {
    let grouped = unsafe Gradient(
      form: EK_GROUPED,
      values: outputGradient ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped,
      rows: groups.rowIDs, count: groups.count, groups: groups, scale: scale)
    try step(grouped, kernels)
  }

  /// Brings the rows that a batch reads up to date, before its forward pass; where rows are never
  /// behind, does nothing.
  ///
  /// - Parameter groups: The batch's ids, as ``step(outputGradient:groups:scale:using:)`` takes them.
  /// - Throws: `tokenOutOfRange` for a row past the table, `outOfMemory`; before anything is written.
  /// - Complexity: O(R·D) for R rows that are behind.
  public func prepare(
    _ groups: borrowing RowGroups, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    let view = groups.unsafeView
    try check(view)
    guard missedSteps != nil, view.count > 0 else { return }
    unsafe try catchUp(view.rowIDs, view.count, .parameters, kernels)
  }

  /// Brings rows up to date, in any order and with repeats; where rows are never behind, does
  /// nothing.
  ///
  /// Serves readers that name rows themselves; a training loop prepares its batch's groups. Allocates.
  ///
  /// - Throws: `tokenOutOfRange` for a row past the table, `outOfMemory`; before anything is written.
  public func prepare<ID: TokenID>(
    rows: Span<ID>, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    var groups = try RowGroups()
    try groups.group(rows, context: max(1, rows.count), vocabulary: self.rows)
    try prepare(groups, using: kernels)
  }

  /// Brings all rows up to date, as before saving the table or reading it whole; where rows are never
  /// behind, does nothing.
  ///
  /// - Complexity: O(V·D).
  public func synchronise(using kernels: Kernels = .auto) throws(EmbedError) {
    guard missedSteps != nil else { return }
    unsafe try catchUp(
      rowList.count > 0 ? UnsafePointer(rowList.base) : nil, slotCount, .everything, kernels)
  }

  private func catchUp(
    _ rows: UnsafePointer<Int32>?, _ count: Int, _ what: CatchUpWork.What, _ kernels: Kernels
  ) throws(EmbedError) {
    let plan = try plan(count, kernels)
    try reserve(count)
    guard let debts else { return }
    var tile = unsafe makeTile(plan)
    unsafe tile.rows = rows
    unsafe CatchUpWork(tile: tile, plan: plan, count: count, debts: debts, what: what).run()
  }

  func checkShape(_ argument: String, rows: Int, dim: Int) throws(EmbedError) {
    guard rows == self.rows else {
      throw .invalidSize(
        argument: "rows of the \(argument)", value: rows, expected: "the table's, \(self.rows)")
    }
    guard dim == self.dim else {
      throw .invalidSize(
        argument: "dim of the \(argument)", value: dim, expected: "the table's, \(self.dim)")
    }
  }

  /// Rows rise, so the last is the greatest.
  private func check(_ view: RowGroupView) throws(EmbedError) {
    guard view.count > 0, unsafe Int(view.rowIDs[view.count - 1]) >= rows else {
      return
    }
    throw unsafe .tokenOutOfRange(
      id: Int64(view.rowIDs[view.count - 1]), batchRow: 0,
      position: Int(view.tokens[Int(view.offsets[view.count - 1])]), vocabulary: rows)
  }
}
