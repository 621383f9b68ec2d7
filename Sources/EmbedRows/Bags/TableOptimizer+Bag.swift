// The step of a table by the gradient of bags, in one pass: a row's gradients are summed where the row is
// stepped, and never written to memory.

public import EmbedKernel

extension TableOptimizer {
  /// Steps by the gradient of the output of bags.
  ///
  ///     the step by what `bagBackward` gives for the same arguments, bit for bit with a scale of 1
  ///
  /// - Parameters:
  ///   - outputGradient: Shape `[bags, dim]`.
  ///   - ids: As given to the forward pass, and so the other arguments up to `options`.
  ///   - winners: Of a maximum, as its forward gave them.
  ///   - scale: Multiplies the gradient first.
  ///   - frequencyScaling: Whether a row's gradient is divided by its ids' number in the call.
  ///   - workspace: Memory that calls reuse.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(N·D) for N ids, or O(V·D) where untouched rows step. Memory traffic: a row of the
  ///   output gradient read for each id, from cache where there are few; the touched rows and their state
  ///   read and written, once. Allocates only for a call larger than any before.
  @inlinable
  public func step<
    Gradient: ReadableElements<Float> & ~Copyable & ~Escapable,
    IDs: ReadableElements & ~Copyable & ~Escapable,
    Weights: ReadableElements<Float> & ~Copyable & ~Escapable,
    Winners: ReadableElements<Int32> & ~Copyable & ~Escapable
  >(
    bagGradient outputGradient: borrowing Gradient, ids: borrowing IDs, in bags: borrowing Bags,
    weights: borrowing Weights = Optional<[Float]>.none,
    winners: borrowing Winners = Optional<[Int32]>.none, pool: BagPool,
    options: BagOptions = BagOptions(), scale: Float = 1,
    frequencyScaling: FrequencyScaling = .none, using kernels: Kernels = .auto,
    workspace: inout BagWorkspace
  ) throws(EmbedError) where IDs.Element: TokenID {
    try unsafe outputGradient.withElements { (outputGradient) throws(EmbedError) in
      try unsafe ids.withElements { (ids) throws(EmbedError) in
        try unsafe weights.withElements { (given) throws(EmbedError) in
          try unsafe winners.withElements { (won) throws(EmbedError) in
            let input = unsafe BagInput(
              TokenIDs(ids), weights.isAbsent ? nil : given, pool, options)
            let gradient = unsafe BagGradient(
              outputGradient, winners.isAbsent ? nil : won, scale, frequencyScaling, .chunked)
            try step(gradient, input, bags, kernels, &workspace)
          }
        }
      }
    }
  }

  @usableFromInline
  package func step(
    _ gradient: BagGradient, _ input: BagInput, _ bags: borrowing Bags, _ kernels: Kernels,
    _ workspace: inout BagWorkspace
  ) throws(EmbedError) {
    let checked = try gradient.check(input, bags, rows: rows, dim: dim, kernels)
    let plan = try gradient.plan(checked, kernels)
    let members = try gradient.prepare(checked, &workspace, threads: plan.threads)
    try unsafe step(
      members.rows, members.groups, gradient.scale, kernels, factors: members.factors,
      scaling: gradient.frequencyScaling)
  }
}
