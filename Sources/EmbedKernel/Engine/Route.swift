// What a call would do, for programs that report it: the answer to "which backend does `auto` take
// here?".

/// How a call of some shape runs.
public struct Route: Hashable, Sendable {
  /// The backend.
  public let backend: Backend
  /// The threads, the calling one among them; OpenBLAS adds its own for the addition.
  public let threads: Int
  /// The instruction set, for the native backend.
  public let instructionSet: InstructionSet?
  /// Whether the output is written past the cache.
  public let isStreaming: Bool
}

extension Kernels {
  /// What these kernels do for a call of `shape` whose ids and positions are all in their tables.
  ///
  /// - Throws: `EmbedError` for sizes or choices that a call would refuse as well.
  public func plan(for shape: EmbeddingShape) throws(EmbedError) -> Route {
    _ = try shape.check()
    let plan = try Plan(forward: shape, self)
    return Route(
      backend: plan.backend, threads: plan.threads,
      instructionSet: plan.backend == .native
        ? InstructionSet.allCases.first { unsafe $0.kernels == plan.kernels } : nil,
      isStreaming: plan.traffic.streaming && plan.backend == .native)
  }
}
