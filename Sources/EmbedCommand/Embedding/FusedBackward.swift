// The fused layer's part of `backward`: from the output's gradient to that of each vector's sum, which
// the tables' gradients are made of.

internal import EmbedKernel

/// A fused layer and what its backward pass needs beside the gradient.
struct FusedBackward {
  private let call: FusedCall

  var layer: FusedInputEmbedding { call.layer }

  /// The layer of the tables that the arguments name, as `embed` would make it.
  ///
  /// - Parameter dim: Of the output's gradient, which the tables' must be.
  init(
    _ arguments: Arguments, _ shared: LayerSettings, _ tokens: TokenBatch, dim: Int
  ) throws {
    guard let path = try arguments[Backward.tokenTable] else {
      throw CommandError.usage("the fused layer needs --token-table")
    }
    let embedding = try shared.tokens(path, Self.table(path, dim))
    let positions = try arguments[Backward.positionTable].map { try Self.table($0, dim) }
    let plain = try shared.layer(embedding, positions)
    guard let call = try FusedOptions.call(arguments, plain, tokens) else {
      throw CommandError.usage("the fused layer needs one of its options")
    }
    self.call = call
  }

  private static func table(_ path: String, _ dim: Int) throws -> EmbeddingTable<Float> {
    try TableFile.read(path, rowsOf: dim, asIn: "the output's gradient").floats()
  }

  func run<ID: TokenID>(
    _ gradient: Span<Float>, _ ids: [ID], _ tokens: TokenBatch, _ place: PositionIDs,
    into parts: inout FusedEmbeddingGradient, _ kernels: Kernels
  ) throws(EmbedError) {
    let segments = call.segments(like: ids)
    try layer.backward(
      gradient, ids: ids.span, segmentIDs: segments?.span, batch: tokens.batch,
      context: tokens.context, at: place, trainingStep: call.trainingStep, into: &parts,
      using: kernels)
  }
}
