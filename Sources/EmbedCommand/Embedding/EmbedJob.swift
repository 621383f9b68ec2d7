// What `embed` computes: a layer, ids, and where each token stands. The two forms of the subcommand
// make one of these each, and from then on are alike.

internal import EmbedKernel

/// A forward call, ready to run.
struct EmbedJob {
  let layer: EmbedLayer
  let tokens: TokenBatch
  let place: PositionIDs
  /// Lines of the report on where the ids and tables are from: what, shape, remark.
  let facts: [(what: String, shape: String, remark: String)]
  let paths: SourcePaths

  /// The shape of the output.
  var shape: [Int] { [tokens.batch, tokens.context, layer.dim] }

  /// Allocates an output.
  func makeOutput<Output: EmbedOutput>(_ type: Output.Type) throws -> AlignedBuffer<Output> {
    try AlignedBuffer(
      count: elementCount("output", tokens.batch, tokens.context, layer.dim))
  }

  /// Computes the embeddings.
  func run<Output: EmbedOutput>(
    into output: inout AlignedBuffer<Output>, using kernels: Kernels
  ) throws {
    try paths.naming { () throws(EmbedError) in
      switch tokens.ids {
      case .narrow(let ids): try run(ids, &output, kernels)
      case .wide(let ids): try run(ids, &output, kernels)
      }
    }
  }

  private func run<ID: TokenID, Output: EmbedOutput>(
    _ ids: [ID], _ output: inout AlignedBuffer<Output>, _ kernels: Kernels
  ) throws(EmbedError) {
    let (batch, context) = (tokens.batch, tokens.context)
    switch layer {
    case .plain(let layer):
      try Output.embed(ids, batch, context, layer, place, into: &output, kernels)
    case .fused(let call):
      try Output.embed(ids, batch, context, call, place, into: &output, kernels)
    case .bfloat16(let tables):
      try tables.embed(ids, batch, context, place, into: &output, kernels)
    case .float16(let tables):
      try tables.embed(ids, batch, context, place, into: &output, kernels)
    }
  }
}
