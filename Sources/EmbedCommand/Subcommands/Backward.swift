// `backward`: gradients of the token and position tables from that of the embeddings, as files, so
// that outside programs can check them.

internal import EmbedKernel

/// Computes the tables' gradients.
enum Backward: Subcommand {
  static let name = "backward"
  static let summary = "Gradients of the tables, from that of the embeddings in .npy files."
  static let usage = [
    "--token-ids IDS.npy --output-gradient G.npy --vocabulary N [--token-gradient OUT.npy] "
      + "[--position-gradient OUT.npy] [OPTIONS]"
  ]
  static let about = [
    "Computes tokens[ids[b, t], :] += gradient-scale * scale * output-gradient[b, t, :] and "
      + "positions[place(b, t), :] += gradient-scale * output-gradient[b, t, :], both from zero.",
    "The sums are the same bits for every number of threads.",
  ]

  static let outputGradient = Option(
    "output-gradient", "NPY", "Gradient of the embeddings [batch, context, dim], float32.")
  static let vocabulary = Option("vocabulary", "N", "Rows of the token table.")
  static let tokenGradient = Option(
    "token-gradient", "NPY", "Where the token table's gradient goes, float32 [vocabulary, dim].")
  static let positionGradient = Option(
    "position-gradient", "NPY",
    "Where the position table's gradient goes, float32 [maximum context, dim].")
  static let maximumContext = Option(
    "maximum-context", "N",
    "Rows of the position table (default: the context and the position offset).")
  static let gradientScale = Option(
    "gradient-scale", "NUMBER", "Multiplies both gradients (default 1).")
  static let frequencyScaling = ChoiceOption<FrequencyScaling>(
    "frequency-scaling", FrequencyScaling.allCases.map { ($0.rawValue, $0) },
    "Divide a token's gradient by its number in the batch, or not (default none).")
  static let summation = ChoiceOption<Summation>(
    "summation", Summation.allCases.map { ($0.rawValue, $0) },
    "Order and exactness of the sum over a row's tokens (default chunked).")

  static let groups = [
    OptionGroup(
      "Arrays: FILE.npy or FILE.npz:NAME",
      [Embed.tokenIDs, outputGradient, vocabulary, tokenGradient, positionGradient]),
    OptionGroup(
      "Positions",
      [
        maximumContext, Embed.positionOffset, Embed.positionIDs, Embed.cumulativeLengths,
        Embed.mask, Embed.positionOverflow.option,
      ]),
    OptionGroup(
      "Gradients",
      [
        Embed.scale, gradientScale, Embed.paddingID, Embed.unknownIDs.option,
        frequencyScaling.option, summation.option,
      ]),
    ComputeOptions.group,
  ]

  static func run(_ arguments: Arguments) throws {
    let shared = try SharedSettings(arguments)
    let kernels = try ComputeOptions.kernels(arguments)
    let idsPath = try arguments.needed(Embed.tokenIDs)
    let gradientPath = try arguments.needed(outputGradient)
    guard let rows = try arguments.integer(vocabulary) else {
      throw CommandError.usage("--\(vocabulary.name) is needed")
    }
    let (tokenPath, positionPath) = (
      arguments.string(tokenGradient), arguments.string(positionGradient)
    )
    guard tokenPath != nil || positionPath != nil else {
      throw CommandError.usage("--token-gradient or --position-gradient is needed")
    }
    if positionPath == nil,
      let option = positionOptions.first(where: { arguments.has($0) })
    {
      throw CommandError.usage("--\(option.name) needs --position-gradient")
    }
    let gradientFactor = Float(try arguments.number(gradientScale) ?? 1)
    guard gradientFactor.isFinite else {
      throw CommandError.usage("option --gradient-scale: too large for float32")
    }

    let tokens = try TokenBatch(contentsOf: idsPath)
    let gradientFile = try ArrayFile(gradientPath)
    let gradient = try gradientFile.floats(rank: 3)
    guard Array(gradientFile.shape.dropLast()) == [tokens.batch, tokens.context] else {
      throw CommandError.data(
        "'\(gradientPath)': expected shape [\(tokens.batch), \(tokens.context), dim] as in "
          + "'\(idsPath)', found \(gradientFile.shape)")
    }
    let dim = gradientFile.shape[2]
    let maximum = try arguments.integer(maximumContext) ?? defaultMaximum(shared, tokens.context)
    let (place, placePath) = try shared.place(
      arguments, batch: tokens.batch, context: tokens.context)
    let call = BackwardJob(
      tokens: tokens, place: place,
      shape: EmbeddingShape(
        vocabulary: rows, batch: tokens.batch, context: tokens.context, dim: dim),
      options: BackwardOptions(
        scale: shared.scale.factor(dim: dim), gradientScale: gradientFactor,
        paddingID: shared.paddingID,
        frequencyScaling: try arguments.choice(frequencyScaling) ?? .none,
        summation: try arguments.choice(summation) ?? .chunked, unknownIDs: shared.unknownIDs,
        positionOverflow: shared.overflow),
      idsPath: idsPath, placePath: placePath,
      tokenGradient: try buffer(tokenPath == nil ? 0 : rows, dim),
      positionGradient: try buffer(positionPath == nil ? 0 : maximum, dim))
    try call.run(gradient.span, using: kernels)
    if let tokenPath {
      try NumPyFile.write(call.tokenGradient.span, shape: [rows, dim], to: tokenPath)
    }
    if let positionPath {
      try NumPyFile.write(call.positionGradient.span, shape: [maximum, dim], to: positionPath)
    }
  }

  private static let positionOptions = [
    maximumContext, Embed.positionOffset, Embed.positionIDs, Embed.cumulativeLengths, Embed.mask,
    Embed.positionOverflow.option,
  ]

  private static func defaultMaximum(
    _ shared: SharedSettings, _ context: Int
  ) throws(CommandError) -> Int {
    let (end, overflow) = shared.offset.addingReportingOverflow(context)
    guard !overflow else { throw .usage("option --position-offset: \(shared.offset) is too large") }
    return max(1, end)
  }

  private static func buffer(_ rows: Int, _ dim: Int) throws -> AlignedBuffer<Float> {
    let (count, overflow) = rows.multipliedReportingOverflow(by: dim)
    guard !overflow else {
      throw EmbedError.sizeOverflow(argument: "gradient", factors: [rows, dim])
    }
    return try AlignedBuffer(count: count)
  }
}

/// A backward call, ready to run into buffers of its own; an empty one is not computed.
private struct BackwardJob: ~Copyable {
  let tokens: TokenBatch
  let place: PositionIDs
  let shape: EmbeddingShape
  let options: BackwardOptions
  let idsPath: String
  let placePath: String?
  let tokenGradient: AlignedBuffer<Float>
  let positionGradient: AlignedBuffer<Float>

  func run(_ gradient: Span<Float>, using kernels: Kernels) throws {
    do throws(EmbedError) {
      switch tokens.ids {
      case .narrow(let ids): try run(gradient, ids.span, kernels)
      case .wide(let ids): try run(gradient, ids.span, kernels)
      }
    } catch {
      switch error {
      case .tokenOutOfRange: throw CommandError.data("'\(idsPath)': \(error)")
      case .positionOutOfRange, .contextTooLong, .documentTooLong, .invalidCumulativeLength:
        throw placePath.map { CommandError.data("'\($0)': \(error)") as any Error } ?? error
      default: throw error
      }
    }
  }

  private func run<ID: TokenID>(
    _ gradient: Span<Float>, _ ids: Span<ID>, _ kernels: Kernels
  ) throws(EmbedError) {
    var workspace = try BackwardWorkspace()
    let (tokens, positions) = unsafe (tokenGradient.unsafeBuffer, positionGradient.unsafeBuffer)
    // Two calls where both are wanted would read the gradient twice.
    switch (tokens.isEmpty, positions.isEmpty) {
    case (false, false):
      try unsafe kernels.backward(
        gradient, ids: ids, shape: shape, at: place, options: options,
        tokens: .dense(tokens, .overwrite), positions: .dense(positions, .overwrite),
        workspace: &workspace)
    case (false, true):
      try unsafe kernels.backward(
        gradient, ids: ids, shape: shape, at: place, options: options,
        tokens: .dense(tokens, .overwrite), positions: .none, workspace: &workspace)
    default:
      try unsafe kernels.backward(
        gradient, ids: ids, shape: shape, at: place, options: options, tokens: .none,
        positions: .dense(positions, .overwrite), workspace: &workspace)
    }
  }
}
