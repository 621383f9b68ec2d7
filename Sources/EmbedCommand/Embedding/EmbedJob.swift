// What `embed` computes: a layer, ids, and where each token stands. The two forms of the subcommand
// make one of these each, and from then on are alike.

internal import EmbedKernel

/// A forward call, ready to run.
struct EmbedJob {
  let layer: any EmbedLayer
  let tokens: TokenBatch
  let place: PositionIDs
  /// Lines of the report on where the ids and tables are from: what, shape, remark.
  let facts: [(what: String, shape: String, remark: String)]
  let paths: SourcePaths

  /// The shape of the output.
  var shape: [Int] { [tokens.batch, tokens.context, layer.dim] }

  /// Allocates an output.
  func makeOutput<Output: TableElement>(_ type: Output.Type) throws -> AlignedBuffer<Output> {
    try AlignedBuffer(
      count: elementCount("output", tokens.batch, tokens.context, layer.dim))
  }

  /// Computes the embeddings.
  func run<Output: TableElement>(
    into output: inout AlignedBuffer<Output>, using kernels: Kernels
  ) throws {
    try paths.naming { () throws(EmbedError) in
      try layer.embed(tokens, at: place, into: &output, using: kernels)
    }
  }
}
