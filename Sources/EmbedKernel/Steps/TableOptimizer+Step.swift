// The forms of gradient that a table steps by: listed rows, dense, and the output gradient itself.

internal import CKernels

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
  @inlinable
  public func step<Elements: ReadableElements<Float> & ~Copyable & ~Escapable>(
    dense gradient: borrowing Elements, scale: Float = 1, using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe gradient.withElements { (gradient) throws(EmbedError) in
      try unsafe step(dense: gradient, scale, kernels)
    }
  }

  @usableFromInline
  func step(
    dense gradient: UnsafeBufferPointer<Float>, _ scale: Float, _ kernels: Kernels
  ) throws(EmbedError) {
    guard gradient.count == rows * dim else {
      throw .wrongElementCount(
        argument: "gradient", expected: rows * dim, shape: [rows, dim],
        actual: gradient.count)
    }
    let rows = unsafe rowList.count > 0 ? UnsafePointer(rowList.base) : nil
    let dense = unsafe Gradient(
      form: EK_BY_ROW, values: gradient.baseAddress.unsafelyUnwrapped, rows: rows, count: slotCount,
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
  @inlinable
  public func step<Elements: ReadableElements<Float> & ~Copyable & ~Escapable>(
    outputGradient: borrowing Elements, groups: borrowing RowGroups, scale: Float = 1,
    using kernels: Kernels = .auto
  ) throws(EmbedError) {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe step(outputGradient, groups, scale, kernels)
    }
  }

  @usableFromInline
  func step(
    _ outputGradient: UnsafeBufferPointer<Float>, _ groups: borrowing RowGroups, _ scale: Float,
    _ kernels: Kernels
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
    try unsafe step(outputGradient.baseAddress, view, scale, kernels)
  }

  /// The same for groups that have been checked.
  package func step(
    _ outputGradient: UnsafePointer<Float>?, _ groups: RowGroupView, _ scale: Float,
    _ kernels: Kernels, factors: UnsafePointer<Float>? = nil, scaling: FrequencyScaling = .none
  ) throws(EmbedError) {
    let grouped = unsafe Gradient(
      form: EK_GROUPED,
      values: outputGradient ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped,
      rows: groups.rowIDs, count: groups.count, groups: groups, factors: factors,
      dividesByCount: scaling == .inverse, scale: scale)
    try step(grouped, kernels)
  }

  package func checkShape(_ argument: String, rows: Int, dim: Int) throws(EmbedError) {
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
  func check(_ view: RowGroupView) throws(EmbedError) {
    guard view.count > 0, unsafe Int(view.rowIDs[view.count - 1]) >= rows else {
      return
    }
    throw unsafe .tokenOutOfRange(
      id: Int64(view.rowIDs[view.count - 1]), batchRow: 0,
      position: Int(view.tokens[Int(view.offsets[view.count - 1])]), vocabulary: rows)
  }
}
