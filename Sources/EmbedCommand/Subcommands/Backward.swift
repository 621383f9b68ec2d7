// `backward`: gradients of the token and position tables from that of the embeddings, as files, so
// that outside programs can check them.

internal import EmbedKernel

/// Computes the tables' gradients.
enum Backward: Subcommand {
  static let name = "backward"
  static let summary = "Gradients of the tables, from that of the embeddings in .npy files."
  static let usage = [
    "--token-ids IDS.npy --output-gradient G.npy --vocabulary N [--token-gradient OUT.npy] "
      + "[--position-gradient OUT.npy] [OPTIONS]",
    "--token-ids IDS.npy --output-gradient G.npy --token-table TABLE.npy [--position-table TABLE.npy] "
      + "--normalize layer [--token-gradient OUT.npy] [--gamma-gradient OUT.npy] [OPTIONS]",
  ]
  static let about = [
    "Computes tokens[ids[b, t], :] += gradient-scale * scale * output-gradient[b, t, :] and "
      + "positions[place(b, t), :] += gradient-scale * output-gradient[b, t, :], both from zero.",
    "With any option of the fused layer, the gradient first goes back through dropout and "
      + "normalisation, whose input is computed again from the tables, and the segments', gamma's and "
      + "beta's gradients, times gradient-scale, may be asked for too. The options are those of the "
      + "forward pass.",
    "The sums are the same bits for every number of threads.",
  ]

  static let outputGradient = Option(
    "output-gradient", "NPY",
    "Gradient of the embeddings [batch, context, dim], float32; float16 and bfloat16 are widened.")
  static let vocabulary = Option(
    "vocabulary", "N", "Rows of the token table, where no table is needed.")
  static let tokenTable = Option(
    "token-table", "NPY",
    "The forward pass's token table [vocabulary, dim]: for the fused layer, instead of --vocabulary."
  )
  static let positionTable = Option(
    "position-table", "NPY",
    "The forward pass's position table [maximum context, dim]: for the fused layer, where positions "
      + "were added.")
  static let tokenGradient = Option(
    "token-gradient", "NPY", "Where the token table's gradient goes, float32 [vocabulary, dim].")
  static let positionGradient = Option(
    "position-gradient", "NPY",
    "Where the position table's gradient goes, float32 [maximum context, dim].")
  static let segmentGradient = Option(
    "segment-gradient", "NPY",
    "Where the segment table's gradient goes, float32 [segments, dim].")
  static let gammaGradient = Option(
    "gamma-gradient", "NPY", "Where the gain's gradient goes, float32 [dim].")
  static let betaGradient = Option(
    "beta-gradient", "NPY", "Where the offset's gradient goes, float32 [dim].")
  static let maximumContext = Option(
    "maximum-context", "N",
    "Rows of the position table (default: the context and the largest position offset).")
  static let gradientScale = Option(
    "gradient-scale", "NUMBER", "Multiplies both gradients (default 1).")
  static let frequencyScaling = ChoiceOption<FrequencyScaling>(
    "frequency-scaling", FrequencyScaling.allCases.map { ($0.rawValue, $0) },
    "Divide a token's gradient by its number in the batch, or not (default none).")
  static let summation = ChoiceOption<Summation>(
    "summation", Summation.allCases.map { ($0.rawValue, $0) },
    "Order and exactness of the sum over a row's tokens (default chunked).")

  private static let positionOptions =
    [maximumContext] + PlaceOptions.all + [Embed.positionOverflow.option]

  static let groups = [
    OptionGroup(
      "Arrays: \(ArrayFile.forms)",
      [Embed.tokenIDs, outputGradient, vocabulary, tokenTable, positionTable]),
    OptionGroup("Positions", positionOptions),
    OptionGroup(
      "Gradients",
      [
        Embed.scale, gradientScale, Embed.paddingID, Embed.unknownIDs.option,
        frequencyScaling.option, summation.option,
      ]),
    FusedOptions.group, ComputeOptions.group,
    OptionGroup(
      "Output, one or more",
      [tokenGradient, positionGradient, segmentGradient, gammaGradient, betaGradient]),
  ]

  private static let outputs = [
    tokenGradient, positionGradient, segmentGradient, gammaGradient, betaGradient,
  ]

  static func run(_ arguments: Arguments) throws {
    let shared = try SharedSettings(arguments)
    let kernels = try ComputeOptions.kernels(arguments)
    let idsPath = try arguments.needed(Embed.tokenIDs)
    let gradientPath = try arguments.needed(outputGradient)
    guard outputs.contains(where: { arguments.has($0) }) else {
      throw CommandError.usage("--token-gradient or --position-gradient is needed")
    }
    try arguments.checkDistinct(outputs)
    let isFused = FusedOptions.isGiven(arguments)
    try checkForm(arguments, isFused: isFused)
    let gradientFactor = Float(try arguments.number(gradientScale) ?? 1)
    guard gradientFactor.isFinite else {
      throw CommandError.usage("option --gradient-scale: too large for float32")
    }

    let tokens = try TokenBatch(contentsOf: idsPath)
    let file = try ArrayFile(gradientPath)
    let gradient = try file.floats(rank: 3)
    guard Array(file.shape.dropLast()) == [tokens.batch, tokens.context] else {
      throw CommandError.data(
        "'\(gradientPath)': expected shape [\(tokens.batch), \(tokens.context), dim] as in "
          + "'\(idsPath)', found \(file.shape)")
    }
    let dim = file.shape[2]
    let (place, placePath) = try PlaceOptions.place(
      arguments, batch: tokens.batch, context: tokens.context)
    let fused = isFused ? try FusedBackward(arguments, shared, tokens, dim: dim) : nil
    let rows = try fused?.layer.embedding.tokens.vocabulary ?? arguments.integer(vocabulary) ?? 0
    let maximum =
      try fused?.layer.embedding.positions?.rows ?? arguments.integer(maximumContext)
      ?? defaultMaximum(arguments, tokens.batch, tokens.context)
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
      segmentPath: arguments.string(FusedOptions.segmentIDs),
      tokenGradient: try buffer(arguments.has(tokenGradient) ? rows : 0, dim),
      positionGradient: try buffer(arguments.has(positionGradient) ? maximum : 0, dim))
    if let fused {
      let parts = try call.run(gradient.span, through: fused, using: kernels)
      let segments = fused.layer.segments?.rows ?? 0
      try write(parts.segments, gradientFactor, [segments, dim], segmentGradient, arguments)
      try write(parts.gamma, gradientFactor, [dim], gammaGradient, arguments)
      try write(parts.beta, gradientFactor, [dim], betaGradient, arguments)
    } else {
      try call.run(gradient.span, using: kernels)
    }
    try write(call.tokenGradient.span, 1, [rows, dim], tokenGradient, arguments)
    try write(call.positionGradient.span, 1, [maximum, dim], positionGradient, arguments)
  }

  /// Checks that the options belong to one form, and that each has what it needs.
  private static func checkForm(
    _ arguments: Arguments, isFused: Bool
  ) throws(CommandError) {
    func refuse(_ options: [Option], _ reason: String) throws(CommandError) {
      if let option = options.first(where: { arguments.has($0) }) {
        throw .usage("--\(option.name) \(reason)")
      }
    }
    if !isFused {
      try refuse(
        [tokenTable, positionTable, segmentGradient, gammaGradient, betaGradient],
        "is for the fused layer: give --normalize, --segment-table or --dropout too")
      if !arguments.has(vocabulary) { throw .usage("--\(vocabulary.name) is needed") }
      if !arguments.has(positionGradient) {
        try refuse(positionOptions, "needs --position-gradient")
      }
      return
    }
    try refuse([vocabulary, maximumContext], "does not fit here: the tables have the sizes")
    if !arguments.has(tokenTable) { throw .usage("the fused layer needs --token-table") }
    if !arguments.has(positionTable) {
      try refuse([positionGradient] + positionOptions, "needs --position-table")
    }
    if !arguments.has(FusedOptions.segmentTable) {
      try refuse([segmentGradient], "needs --segment-table")
    }
    if !arguments.has(FusedOptions.normalize.option) {
      try refuse([gammaGradient, betaGradient], "needs --normalize")
    }
  }

  /// Writes `factor * gradient` where it is asked for.
  private static func write(
    _ gradient: Span<Float>, _ factor: Float, _ shape: [Int], _ option: Option,
    _ arguments: Arguments
  ) throws {
    guard let path = arguments.string(option) else { return }
    if factor == 1 {
      try NumPyFile.write(gradient, shape: shape, to: path)
    } else {
      let scaled = gradient.indices.map { factor * gradient[$0] }
      try NumPyFile.write(scaled.span, shape: shape, to: path)
    }
  }

  private static func defaultMaximum(
    _ arguments: Arguments, _ batch: Int, _ context: Int
  ) throws -> Int {
    var offset = try arguments.integer(PlaceOptions.offset, in: 0...Int.max) ?? 0
    if let path = arguments.string(PlaceOptions.offsets) {
      offset = max(0, try integers(path, shapes: [[batch]]).map { Int($0) }.max() ?? 0)
    }
    let (end, overflow) = offset.addingReportingOverflow(context)
    guard !overflow else {
      throw CommandError.usage("option --position-offset: \(offset) is too large")
    }
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
  let segmentPath: String?
  let tokenGradient: AlignedBuffer<Float>
  let positionGradient: AlignedBuffer<Float>

  func run(_ gradient: Span<Float>, using kernels: Kernels) throws {
    do throws(EmbedError) {
      switch tokens.ids {
      case .narrow(let ids): try run(gradient, ids.span, kernels)
      case .wide(let ids): try run(gradient, ids.span, kernels)
      }
    } catch {
      throw located(error)
    }
  }

  /// The same through the rest of a fused layer, whose own gradients are returned.
  func run(
    _ gradient: Span<Float>, through fused: FusedBackward, using kernels: Kernels
  ) throws -> FusedEmbeddingGradient {
    do throws(EmbedError) {
      var parts = try FusedEmbeddingGradient(for: fused.layer)
      switch tokens.ids {
      case .narrow(let ids):
        try fused.run(gradient, ids, tokens, place, into: &parts, kernels)
        try run(parts.rows, ids.span, kernels)
      case .wide(let ids):
        try fused.run(gradient, ids, tokens, place, into: &parts, kernels)
        try run(parts.rows, ids.span, kernels)
      }
      return parts
    } catch {
      throw located(error)
    }
  }

  private func located(_ error: EmbedError) -> any Error {
    func named(_ path: String?) -> any Error {
      path.map { CommandError.data("'\($0)': \(error)") as any Error } ?? error
    }
    return switch error {
    case .tokenOutOfRange: named(idsPath)
    case .segmentOutOfRange: named(segmentPath)
    case .positionOutOfRange, .contextTooLong, .documentTooLong, .invalidCumulativeLength:
      named(placePath)
    default: error
    }
  }

  private func run<ID: TokenID>(
    _ gradient: Span<Float>, _ ids: Span<ID>, _ kernels: Kernels
  ) throws(EmbedError) {
    if tokenGradient.count == 0 && positionGradient.count == 0 { return }
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
