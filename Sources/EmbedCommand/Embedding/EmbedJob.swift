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
  /// The files that faults in ids and in positions are laid to.
  let idsPath: String?
  let placePath: String?
  var segmentPath: String?

  /// The shape of the output.
  var shape: [Int] { [tokens.batch, tokens.context, layer.dim] }

  /// Allocates an output.
  func makeOutput<Output: EmbedOutput>(_ type: Output.Type) throws -> AlignedBuffer<Output> {
    var count = 1
    for size in shape {
      let (product, overflow) = count.multipliedReportingOverflow(by: size)
      guard !overflow else { throw EmbedError.sizeOverflow(argument: "output", factors: shape) }
      count = product
    }
    return try AlignedBuffer(count: count)
  }

  /// Computes the embeddings.
  func run<Output: EmbedOutput>(
    into output: inout AlignedBuffer<Output>, using kernels: Kernels
  ) throws {
    do throws(EmbedError) {
      switch tokens.ids {
      case .narrow(let ids): try run(ids, &output, kernels)
      case .wide(let ids): try run(ids, &output, kernels)
      }
    } catch {
      switch error {
      case .tokenOutOfRange:
        throw located(error, idsPath)
      case .segmentOutOfRange:
        throw located(error, segmentPath)
      case .positionOutOfRange, .contextTooLong, .documentTooLong, .invalidCumulativeLength:
        throw located(error, placePath)
      default:
        throw error
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

  private func located(_ error: EmbedError, _ path: String?) -> any Error {
    if let path { CommandError.data("'\(path)': \(error)") } else { error }
  }
}

/// The settings that both forms share.
struct SharedSettings {
  let scale: EmbeddingScale
  let paddingID: Int?
  let unknownIDs: UnknownIDs
  let overflow: PositionOverflow
  let layout: SinusoidLayout
  let base: Double
  let scheme: Embed.Scheme?
  let offset: Int

  init(_ arguments: Arguments) throws(CommandError) {
    if arguments.string(Embed.scale) == "sqrt-dim" {
      scale = .sqrtDim
    } else {
      let number = try arguments.number(Embed.scale) ?? 1
      guard Float(number).isFinite else {
        throw .usage("option --scale: \(number) is too large for float32")
      }
      scale = .value(Float(number))
    }
    paddingID = try arguments.integer(Embed.paddingID, in: 0...Int.max)
    unknownIDs = try arguments.choice(Embed.unknownIDs) ?? .error
    overflow = try arguments.choice(Embed.positionOverflow) ?? .error
    layout = try arguments.choice(Embed.sinusoidLayout) ?? .interleaved
    base = try arguments.number(Embed.sinusoidBase, above: 0) ?? 10_000
    scheme = try arguments.choice(Embed.positions)
    offset = try arguments.integer(PlaceOptions.offset, in: 0...Int.max) ?? 0
    for option in [Embed.sinusoidLayout.option, Embed.sinusoidBase]
    where arguments.has(option) && scheme != .sinusoidal {
      throw .usage("--\(option.name) is for --positions sinusoidal")
    }
    try PlaceOptions.check(arguments)
  }

  /// The layer of these tables.
  func layer(_ tokens: TokenEmbedding, _ positions: EmbeddingTable<Float>?) throws(EmbedError)
    -> InputEmbedding
  {
    try InputEmbedding(
      tokens: tokens, positions: positions, positionsAreTrained: scheme != .sinusoidal,
      scale: scale, unknownIDs: unknownIDs, positionOverflow: overflow)
  }

  /// The rows that a table of positions needs at least, before any file says otherwise.
  func rows(context: Int, _ given: Int?) throws(CommandError) -> Int {
    if let given { return given }
    let (end, overflow) = offset.addingReportingOverflow(context)
    guard !overflow else { throw .usage("option --position-offset: \(offset) is too large") }
    return max(1024, end)
  }
}
