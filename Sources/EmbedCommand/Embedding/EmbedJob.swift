// What `embed` computes: a layer, ids, and where each token stands. The two forms of the subcommand
// make one of these each, and from then on are alike.

internal import EmbedKernel

/// A forward call, ready to run.
struct EmbedJob {
  let layer: InputEmbedding
  let tokens: TokenBatch
  let place: PositionIDs
  /// Lines of the report on where the ids and tables are from: what, shape, remark.
  let facts: [(what: String, shape: String, remark: String)]
  /// The files that faults in ids and in positions are laid to.
  let idsPath: String?
  let placePath: String?

  /// The shape of the output.
  var shape: [Int] { [tokens.batch, tokens.context, layer.tokens.dim] }

  /// Bytes of the output.
  var outputBytes: Int { tokens.count * layer.tokens.dim * 4 }

  /// Computes the embeddings.
  func run(into output: inout AlignedBuffer<Float>, using kernels: Kernels) throws {
    do throws(EmbedError) {
      try tokens.embed(layer, at: place, into: &output, using: kernels)
    } catch {
      switch error {
      case .tokenOutOfRange:
        throw located(error, idsPath)
      case .positionOutOfRange, .contextTooLong, .documentTooLong, .invalidCumulativeLength:
        throw located(error, placePath)
      default:
        throw error
      }
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
    offset = try arguments.integer(Embed.positionOffset, in: 0...Int.max) ?? 0
    for option in [Embed.sinusoidLayout.option, Embed.sinusoidBase]
    where arguments.has(option) && scheme != .sinusoidal {
      throw .usage("--\(option.name) is for --positions sinusoidal")
    }
    let places = [
      Embed.positionOffset, Embed.positionIDs, Embed.cumulativeLengths, Embed.mask,
    ].filter { arguments.has($0) }
    if places.count > 1 {
      throw .usage("--\(places[0].name) and --\(places[1].name) exclude each other")
    }
  }

  /// Where each token of `[batch, context]` stands, and the file that says so.
  func place(
    _ arguments: Arguments, batch: Int, context: Int
  ) throws -> (PositionIDs, path: String?) {
    if let path = arguments.string(Embed.positionIDs) {
      let ids = try integers(path, shapes: [[batch, context], [context]])
      return (.explicit(ids), path)
    }
    if let path = arguments.string(Embed.cumulativeLengths) {
      return (.packed(cumulativeLengths: try integers(path, shapes: [[-1]])), path)
    }
    if let path = arguments.string(Embed.mask) {
      let mask = try integers(path, shapes: [[batch, context]], truthAllowed: true)
      return (.mask(mask.map { $0 == 0 ? 0 : 1 }), path)
    }
    return (.sequential(offset: offset), nil)
  }

  /// The layer of these tables.
  func layer(_ tokens: TokenEmbedding, _ positions: EmbeddingTable?) throws(EmbedError)
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
