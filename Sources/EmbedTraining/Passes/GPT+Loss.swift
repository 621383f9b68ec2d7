// What callers ask of a forward pass: losses, hidden states, logits.

public import EmbedKernel

extension GPT {
  /// The mean loss of a batch, in nats a token.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - targets: The token that follows each, `[batch, context]`.
  ///   - workspace: Made for this model, with room for the batch.
  /// - Throws: `EmbedError` for sizes and ids; before anything is computed. Allocates nothing.
  public func loss(
    _ ids: Span<Int32>, targets: Span<Int32>, batch: Int, context: Int, in workspace: GPTWorkspace
  ) throws(EmbedError) -> Double {
    let call = try Batch(
      ids, targets: targets, batch: batch, context: context, workspace, configuration)
    try computeLosses(call, workspace)
    return meanLoss(call, workspace)
  }

  /// Adds the loss of each position, summed over the batch, to `sums`, shape `[context]`.
  ///
  /// - Throws: As ``loss(_:targets:batch:context:in:)``; `wrongElementCount` for other sums.
  public func addLosses(
    _ ids: Span<Int32>, targets: Span<Int32>, batch: Int, context: Int,
    to sums: inout MutableSpan<Double>, in workspace: GPTWorkspace
  ) throws(EmbedError) {
    guard sums.count == context else {
      throw .wrongElementCount(
        argument: "sums", expected: context, shape: [context], actual: sums.count)
    }
    let call = try Batch(
      ids, targets: targets, batch: batch, context: context, workspace, configuration)
    try computeLosses(call, workspace)
    for token in 0..<call.tokens {
      unsafe sums[token % context] += Double(workspace.final.losses[token])
    }
  }

  /// Writes the loss of each token to `losses`, as many floats.
  ///
  /// - Throws: As ``loss(_:targets:batch:context:in:)``.
  func writeLosses(
    _ ids: Span<Int32>, targets: Span<Int32>, batch: Int, context: Int,
    into losses: UnsafeMutableBufferPointer<Float>, in workspace: GPTWorkspace
  ) throws(EmbedError) {
    let call = try Batch(
      ids, targets: targets, batch: batch, context: context, workspace, configuration)
    try computeLosses(call, workspace)
    for token in 0..<call.tokens { unsafe losses[token] = workspace.final.losses[token] }
  }

  /// The hidden states after `ln_f`.
  ///
  /// - Parameter output: Shape `[batch, context, dim]`.
  /// - Throws: As ``loss(_:targets:batch:context:in:)``; `wrongElementCount` for another output.
  public func hidden(
    _ ids: Span<Int32>, batch: Int, context: Int, into output: inout MutableSpan<Float>,
    in workspace: GPTWorkspace
  ) throws(EmbedError) {
    let call = try Batch(
      ids, targets: nil, batch: batch, context: context, workspace, configuration)
    let count = call.tokens * configuration.dim
    guard output.count == count else {
      throw .wrongElementCount(
        argument: "output", expected: count, shape: [batch, context, configuration.dim],
        actual: output.count)
    }
    try OneThreadedBLAS.run { () throws(EmbedError) in try forward(call, workspace) }
    for i in 0..<count { unsafe output[i] = workspace.final.normed[i] }
  }

  /// The logits of the token that follows each sequence.
  ///
  /// - Parameter logits: Shape `[batch, vocabulary]`.
  /// - Throws: As ``loss(_:targets:batch:context:in:)``; `wrongElementCount` for other logits.
  public func lastLogits(
    _ ids: Span<Int32>, batch: Int, context: Int, into logits: inout MutableSpan<Float>,
    in workspace: GPTWorkspace
  ) throws(EmbedError) {
    let call = try Batch(
      ids, targets: nil, batch: batch, context: context, workspace, configuration)
    let vocabulary = configuration.vocabulary
    guard logits.count == batch * vocabulary else {
      throw .wrongElementCount(
        argument: "logits", expected: batch * vocabulary, shape: [batch, vocabulary],
        actual: logits.count)
    }
    let target = unsafe logits.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    try OneThreadedBLAS.run { () throws(EmbedError) in
      try forward(call, workspace)
      unsafe writeLastLogits(call, workspace, into: target)
    }
  }

  /// Computes the logits of the last token of each sequence, `context` rows apart.
  func writeLastLogits(
    _ call: Batch, _ workspace: GPTWorkspace, into target: UnsafeMutablePointer<Float>
  ) {
    let (batch, dim, threads) = (call.batch, configuration.dim, workspace.threads)
    let first = unsafe workspace.final.normed + (call.context - 1) * dim
    if batch == 1 {
      return unsafe RowProduct(input: first, weight: head.matrix.transposed, output: target).run(
        threads: threads)
    }
    unsafe MatrixProduct.multiply(
      StridedMatrix(first, batch, dim, stride: call.context * dim), head.matrix.transposed,
      .overwrite, StridedMatrix(target, batch, configuration.vocabulary), threads: threads)
  }

  private func computeLosses(_ call: Batch, _ workspace: GPTWorkspace) throws(EmbedError) {
    try OneThreadedBLAS.run { () throws(EmbedError) in
      try forward(call, workspace)
      logits(call, workspace)?.computeLosses()
    }
  }

  /// The mean of what a pass left as losses, summed in order.
  func meanLoss(_ call: Batch, _ workspace: GPTWorkspace) -> Double {
    var sum = 0.0
    for token in 0..<call.tokens { unsafe sum += Double(workspace.final.losses[token]) }
    return sum / Double(call.tokens)
  }

  /// The logits of a call with targets.
  func logits(_ call: Batch, _ workspace: GPTWorkspace) -> LogitChunks? {
    guard let targets = unsafe call.targets?.baseAddress else { return nil }
    let final = workspace.final
    return unsafe LogitChunks(
      hidden: StridedMatrix(final.normed, call.tokens, configuration.dim), table: head.matrix,
      targets: targets, losses: final.losses, logits: final.logits, chunk: final.logitRows,
      threads: workspace.threads)
  }
}
