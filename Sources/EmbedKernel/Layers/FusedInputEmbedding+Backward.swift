// The fused layer's backward. Nothing is kept by the forward: sums, statistics and mask are computed
// again from the ids, while the rows pass by.

extension FusedInputEmbedding {
  /// Computes d(x) of each token, and adds to the gradients of gamma, beta and the segments.
  ///
  ///     g = dropout(outputGradient), xhat = (x - mean) * reciprocal, h = g * gamma
  ///     gradient.rows[n, :] = reciprocal * (h - mean(h) - xhat * mean(h * xhat))
  ///     gradient.gamma += sum(g * xhat), gradient.beta += sum(g)
  ///     gradient.segments[segmentIDs[n], :] += gradient.rows[n, :]
  ///
  /// `mean` and `mean(h)` are 0 for the root mean square; without normalisation the rows are g.
  /// Parameters are summed in chunks of tokens that depend on the shape alone, then over the chunks
  /// in order: all backends and thread counts give the same bits. The arguments, and the tables, are
  /// those of the forward.
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[batch, context, dim]`.
  ///   - gradient: Rows are overwritten, parameters accumulate.
  /// - Throws: `EmbedError`, before anything is written. Allocates only where a batch is larger
  ///   than any before.
  /// - Complexity: O(N·D). Memory traffic: 12·N·D bytes.
  @inlinable
  public func backward<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Segments: ReadableElements & ~Copyable & ~Escapable
  >(
    _ outputGradient: borrowing Gradient, ids: borrowing IDs,
    segmentIDs: borrowing Segments = Optional<[Int32]>.none,
    batch: Int, context: Int, at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    into gradient: inout FusedEmbeddingGradient, using kernels: Kernels = .auto
  ) throws(EmbedError) where IDs.Element: TokenID, Segments.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe segmentIDs.withElements { (segments) throws(EmbedError) in
          try unsafe backward(
            outputGradient, TokenIDs(ids), segmentIDs.isAbsent ? nil : TokenIDs(segments),
            shape(batch: batch, context: context), place, trainingStep, &gradient, kernels)
        }
      }
    }
  }

  @usableFromInline @_specialize(where Element == Float)
  package func backward(
    _ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs, _ segmentIDs: TokenIDs?,
    _ shape: EmbeddingShape, _ place: PositionIDs, _ step: UInt64?,
    _ gradient: inout FusedEmbeddingGradient, _ kernels: Kernels
  ) throws(EmbedError) {
    let counts = try shape.check()
    try EmbedCall.check(
      "output gradient", outputGradient.count, counts.output,
      [shape.batch, shape.context, shape.dim])
    guard gradient.fits(self) else {
      throw .invalidSize(
        argument: "dim of the gradient", value: gradient.dim,
        expected: "that of the layer the gradient was made for, \(dim)")
    }
    try gradient.reserve(count: counts.ids, partials: 0)
    try bringUp(ids, segmentIDs, shape, place, kernels)
    var result = (layout: PartialLayout?.none, threads: 1)
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      let forward = try unsafe call(
        ids, segmentIDs, shape, place, places, step,
        Elements(UnsafeBufferPointer(gradient.rowMemory(counts.ids))))
      let plan = try Plan(kernels, shape)
      guard forward.rows.outputBytes > 0 else { return }
      let layout = PartialLayout(
        walk: EmbedWalk(forward.rows), tokens: counts.ids, dim: dim, norm: forward.norm,
        segments: forward.segmentCount)
      try gradient.reserve(
        count: counts.ids, partials: elementCount("partial sums", layout.chunks, layout.stride))
      let backward = unsafe NormalizeGradientCall(
        forward: forward, gradient: outputGradient.baseAddress.unsafelyUnwrapped,
        partials: gradient.partialMemory, layout: layout)
      backward.run(plan)
      result = (layout, plan.threads)
    }
    gradient.setCount(counts.ids)
    if let layout = result.layout { gradient.addPartials(layout, threads: result.threads) }
  }
}
