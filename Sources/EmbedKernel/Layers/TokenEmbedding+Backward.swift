// The token layer's backward, and the renormalisation of the rows that a batch is about to read.

extension TokenEmbedding {
  /// Computes the table's gradient of a batch; it replaces what `gradient` lists.
  ///
  ///     for b in 0..<batch, t in 0..<context where ids[b, t] != paddingID:
  ///       gradient[ids[b, t], :] += gradientScale * outputGradient[b, t, :]
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - ids: Shape `[batch, context]`, as given to `forward`.
  ///   - gradientScale: Multiplies the gradient.
  ///   - frequencyScaling: Whether a token's gradient is divided by its number in the batch.
  ///   - summation: In what order gradients of a row are summed.
  ///   - unknownIDs: As given to `forward`.
  ///   - workspace: Memory that calls reuse.
  /// - Throws: `EmbedError`, before anything is written. Allocates only for a batch larger than any
  ///   before; the same bits for every number of threads and every backend.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs, batch: Int, context: Int,
    into gradient: inout RowSparseGradient, gradientScale: Float = 1,
    frequencyScaling: FrequencyScaling = .none, summation: Summation = .chunked,
    unknownIDs: UnknownIDs = .error, using kernels: Kernels = .auto,
    workspace: inout BackwardWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try kernels.backward(
      outputGradient, ids: ids,
      shape: EmbeddingShape(vocabulary: vocabulary, batch: batch, context: context, dim: dim),
      options: BackwardOptions(
        gradientScale: gradientScale, paddingID: paddingID, frequencyScaling: frequencyScaling,
        summation: summation, unknownIDs: unknownIDs),
      tokens: .rowSparse(&gradient), positions: .none, workspace: &workspace)
  }

  /// Shortens the rows that a batch reads to a norm of at most `maximum`, in place, before `forward`:
  /// PyTorch's `max_norm`.
  ///
  ///     for each row r of ids: if norm(table[r, :]) > maximum:
  ///       table[r, :] *= maximum / (norm + 1e-7)
  ///
  /// No other thread may use the table meanwhile.
  ///
  /// - Parameters:
  ///   - ids: Any ids of the vocabulary; a row is taken once however often its id occurs.
  ///   - context: Tells an error the batch row and position of a bad id.
  ///   - order: The p of the norm.
  ///   - groups: Memory that calls reuse.
  /// - Throws: `tokenOutOfRange`, `invalidValue`, `outOfMemory`, before anything is written.
  @inlinable
  public func renormalize<IDs: ReadableElements & ~Copyable & ~Escapable>(
    _ ids: borrowing IDs, context: Int, maximum: Float, order: NormOrder = .two,
    threads: Int? = nil, groups: inout RowGroups
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe ids.withElements { (ids) throws(EmbedError) in
      try renormalize(unsafe TokenIDs(ids), context, maximum, order, threads, &groups)
    }
  }

  @usableFromInline
  func renormalize(
    _ ids: TokenIDs, _ context: Int, _ maximum: Float, _ order: NormOrder, _ threads: Int?,
    _ groups: inout RowGroups
  ) throws(EmbedError) {
    guard maximum.isFinite, maximum > 0 else {
      throw .invalidValue(
        argument: "maximum norm", value: Double(maximum), expected: "a finite number above 0")
    }
    try order.check()
    try groups.group(
      ids, context: context, vocabulary: vocabulary, paddingID: nil, unknownIDs: .error,
      threads: threads)
    let view = groups.unsafeView
    table.bringUp(unsafe .listed(view.rowIDs, count: view.count))
    let work = unsafe Renormalization(
      table: table.memory.baseAddress.unsafelyUnwrapped, dim: dim,
      rows: groups.unsafeView.rowIDs, maximum: Double(maximum), order: order)
    Threads.split(groups.count, threads ?? Threads.available, work)
  }
}

/// Rows to shorten.
@safe private struct Renormalization: ParallelWork {
  let table: UnsafeMutablePointer<Float>
  let dim: Int
  let rows: UnsafePointer<Int32>
  let maximum: Double
  let order: NormOrder

  func run(_ range: Range<Int>) {
    for i in range {
      let row = unsafe table + Int(rows[i]) * dim
      let norm = unsafe order.root(order.sum(UnsafePointer(row), dim))
      guard norm > maximum else { continue }
      let factor = Float(maximum / (norm + 1e-7))
      for k in 0..<dim { unsafe row[k] *= factor }
    }
  }
}
