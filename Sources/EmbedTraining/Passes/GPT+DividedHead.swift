// The two halves of a pass whose head is elsewhere, divided over ranks: hidden states go out, and their gradient
// comes back.

internal import EmbedKernel

extension GPT {
  /// The forward pass up to the hidden states after `ln_f`.
  ///
  /// - Parameter hidden: Shape `[batch, context, dim]`, written.
  /// - Throws: As `gradients`, for targets too; before anything is written. Allocates nothing.
  func forward(
    _ ids: Span<Int32>, targets: Span<Int32>, batch: Int, context: Int,
    into hidden: UnsafeMutablePointer<Float>, in workspace: GPTWorkspace
  ) throws(EmbedError) {
    let call = try Batch(
      ids, targets: targets, batch: batch, context: context, workspace, configuration)
    _ = try gradientMemory(workspace)
    try OneThreadedBLAS.run { () throws(EmbedError) in try forward(call, workspace) }
    unsafe hidden.update(from: workspace.final.normed, count: call.tokens * configuration.dim)
  }

  /// Whose activations a workspace holds.
  enum Activations {
    /// This batch's, as its forward pass was the last.
    case kept
    /// Another's: the forward pass is made again.
    case lost
  }

  /// The gradients of all parameters but the head's, from that of the hidden states.
  ///
  /// - Parameter hiddenGradient: Shape `[batch, context, dim]`.
  /// - Throws: As `gradients`. Allocates nothing once a batch as large has run.
  func backward(
    _ ids: Span<Int32>, batch: Int, context: Int, from hiddenGradient: UnsafePointer<Float>,
    _ activations: Activations, _ writing: GradientWriting, in workspace: GPTWorkspace
  ) throws(EmbedError) {
    let call = try Batch(
      ids, targets: nil, batch: batch, context: context, workspace, configuration)
    let memory = try gradientMemory(workspace)
    try OneThreadedBLAS.run { () throws(EmbedError) in
      if activations == .lost { try forward(call, workspace) }
      unsafe memory.rows.update(from: hiddenGradient, count: call.tokens * configuration.dim)
      try backward(call, workspace, memory, tokens: writing, writing)
    }
  }
}
