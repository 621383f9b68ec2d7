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
    "output-gradient", .array,
    "Gradient of the embeddings [batch, context, dim], float32; float16 and bfloat16 are widened")
  static let vocabulary = Option(
    "vocabulary", .integer(), "Rows of the token table, where no table is needed")
  static let tokenTable = Option(
    "token-table", .array,
    "The forward pass's token table [vocabulary, dim]: for the fused layer, instead of --vocabulary"
  )
  static let positionTable = Option(
    "position-table", .array,
    "The forward pass's position table [maximum context, dim]: for the fused layer, where positions "
      + "were added")
  static let tokenGradient = gradient("token", "token table", "[vocabulary, dim]")
  static let positionGradient = gradient("position", "position table", "[maximum context, dim]")
  static let segmentGradient = gradient("segment", "segment table", "[segments, dim]")
    .needing(FusedOptions.segmentTable)
  static let gammaGradient = gradient("gamma", "gain", "[dim]").needing(FusedOptions.normalize)
  static let betaGradient = gradient("beta", "offset", "[dim]").needing(FusedOptions.normalize)
  static let maximumContext = Option(
    "maximum-context", .integer(), "Rows of the position table",
    otherwise: "the context and the largest position offset")
  static let gradientScale = Option(
    "gradient-scale", .float(), "Multiplies both gradients", default: 1)
  static let frequencyScaling = Option<FrequencyScaling>(
    "frequency-scaling", .cases, "Divide a token's gradient by its number in the batch, or not",
    default: .none)
  static let summation = Option<Summation>(
    "summation", .cases, "Order and exactness of the sum over a row's tokens", default: .chunked)

  private static func gradient(_ name: String, _ of: String, _ shape: String) -> Option<String?> {
    Option("\(name)-gradient", .array, "Where the \(of)'s gradient goes, float32 \(shape)")
  }

  private static let positionOptions = [maximumContext] + PlaceOptions.withOverflow
  private static let outputs = [
    tokenGradient, positionGradient, segmentGradient, gammaGradient, betaGradient,
  ]

  static let groups = [
    OptionGroup(
      "Arrays: \(ArrayFile.forms)",
      [LayerOptions.tokenIDs, outputGradient, vocabulary, tokenTable, positionTable]),
    OptionGroup("Positions", positionOptions),
    OptionGroup(
      "Gradients",
      [
        LayerOptions.scale, gradientScale, LayerOptions.paddingID, LayerOptions.unknownIDs,
        frequencyScaling, summation,
      ]),
    FusedOptions.group, ComputeOptions.group, OptionGroup("Output, one or more", outputs),
  ]

  static func run(_ arguments: Arguments) throws {
    let shared = try LayerSettings(arguments)
    let kernels = try ComputeOptions.kernels(arguments)
    let idsPath = try arguments.needed(LayerOptions.tokenIDs)
    let gradientPath = try arguments.needed(outputGradient)
    guard arguments.first(of: outputs) != nil else {
      throw CommandError.usage("--token-gradient or --position-gradient is needed")
    }
    try arguments.checkDistinct(outputs)
    let isFused = FusedOptions.isGiven(arguments)
    try checkForm(arguments, isFused: isFused)
    let gradientFactor = try arguments[gradientScale]

    let tokens = try TokenBatch(ArrayFile(idsPath))
    let (batch, context) = (tokens.batch, tokens.context)
    let file = try ArrayFile(gradientPath)
    try file.require(rank: 3)
    try file.require(shapes: [[batch, context, -1]], " as in '\(idsPath)'")
    let (gradient, dim) = (try file.floats(), file.shape[2])
    let (place, placePath) = try PlaceOptions.place(arguments, batch: batch, context: context)
    let fused = isFused ? try fusedCall(arguments, shared, tokens, dim: dim) : nil
    let rows = try fused?.layer.embedding.tokens.vocabulary ?? arguments[vocabulary] ?? 0
    let maximum =
      try fused?.layer.embedding.positions?.rows ?? arguments[maximumContext]
      ?? defaultMaximum(arguments, batch, context)
    let tokenRows = try buffer(arguments.has(tokenGradient) ? rows : 0, dim)
    let positionRows = try buffer(arguments.has(positionGradient) ? maximum : 0, dim)
    let options = BackwardOptions(
      scale: shared.scale.factor(dim: dim), gradientScale: gradientFactor,
      paddingID: shared.paddingID, frequencyScaling: try arguments[frequencyScaling],
      summation: try arguments[summation], unknownIDs: shared.unknownIDs,
      positionOverflow: shared.overflow)
    func sumRows(_ gradient: Span<Float>) throws(EmbedError) {
      if tokenRows.count == 0 && positionRows.count == 0 { return }
      var workspace = try BackwardWorkspace()
      let (tokenRows, positionRows) = unsafe (tokenRows.unsafeBuffer, positionRows.unsafeBuffer)
      // One call, as two would read the gradient twice where both are wanted.
      try unsafe kernels.backward(
        gradient, ids: tokens.ids.span,
        shape: EmbeddingShape(vocabulary: rows, batch: batch, context: context, dim: dim),
        at: place, options: options,
        tokens: tokenRows.isEmpty ? .none : .dense(tokenRows, .overwrite),
        positions: positionRows.isEmpty ? .none : .dense(positionRows, .overwrite),
        workspace: &workspace)
    }
    let paths = SourcePaths(
      ids: idsPath, segments: try arguments[FusedOptions.segmentIDs], places: placePath)
    if let fused {
      let parts = try paths.naming { () throws(EmbedError) in
        var parts = try FusedEmbeddingGradient(for: fused.layer)
        try fused.layer.backward(
          gradient.span, ids: tokens.ids.span, segmentIDs: fused.segmentIDs?.span, batch: batch,
          context: context, at: place, trainingStep: fused.trainingStep, into: &parts,
          using: kernels)
        try sumRows(parts.rows)
        return parts
      }
      let segments = fused.layer.segments?.rows ?? 0
      try write(parts.segments, gradientFactor, [segments, dim], segmentGradient, arguments)
      try write(parts.gamma, gradientFactor, [dim], gammaGradient, arguments)
      try write(parts.beta, gradientFactor, [dim], betaGradient, arguments)
    } else {
      try paths.naming { () throws(EmbedError) in try sumRows(gradient.span) }
    }
    try write(tokenRows.span, 1, [rows, dim], tokenGradient, arguments)
    try write(positionRows.span, 1, [maximum, dim], positionGradient, arguments)
  }

  /// Checks that the options belong to one form, and that each has what it needs.
  private static func checkForm(
    _ arguments: Arguments, isFused: Bool
  ) throws(CommandError) {
    if !isFused {
      try arguments.refuse(
        [tokenTable, positionTable],
        "is for the fused layer: give --normalize, --segment-table or --dropout too")
      _ = try arguments.needed(vocabulary)
      if !arguments.has(positionGradient) {
        try arguments.refuse(positionOptions, "needs --position-gradient")
      }
      return
    }
    try arguments.refuse(
      [vocabulary, maximumContext], "does not fit here: the tables have the sizes")
    _ = try arguments.needed(tokenTable, by: "the fused layer")
    if !arguments.has(positionTable) {
      try arguments.refuse([positionGradient] + positionOptions, "needs --position-table")
    }
  }

  /// The fused layer of the tables that the arguments name, as `embed` would make it.
  ///
  /// - Parameter dim: Of the output's gradient, which the tables' must be.
  private static func fusedCall(
    _ arguments: Arguments, _ shared: LayerSettings, _ tokens: TokenBatch, dim: Int
  ) throws -> FusedCall? {
    func table(_ path: String) throws -> EmbeddingTable<Float> {
      try TableFile.read(path, rowsOf: dim, asIn: "the output's gradient").floats()
    }
    let path = try arguments.needed(tokenTable)
    let embedding = try shared.tokens(path, table(path))
    let plain = try shared.layer(embedding, arguments[positionTable].map(table))
    return try FusedOptions.call(arguments, plain, tokens)
  }

  /// Writes `factor * gradient` where it is asked for.
  private static func write(
    _ gradient: Span<Float>, _ factor: Float, _ shape: [Int], _ option: Option<String?>,
    _ arguments: Arguments
  ) throws {
    if factor == 1 { return try arguments.write(gradient, shape: shape, to: option) }
    let scaled = gradient.indices.map { factor * gradient[$0] }
    try arguments.write(scaled.span, shape: shape, to: option)
  }

  private static func defaultMaximum(
    _ arguments: Arguments, _ batch: Int, _ context: Int
  ) throws -> Int {
    let offsets = try arguments[PlaceOptions.offsets].map { path in
      max(0, try integers(path, shapes: [[batch]]).max() ?? 0)
    }
    return max(1, try PlaceOptions.end(offsets ?? arguments[PlaceOptions.offset], context))
  }

  private static func buffer(_ rows: Int, _ dim: Int) throws -> AlignedBuffer<Float> {
    try AlignedBuffer(count: elementCount("gradient", rows, dim))
  }
}
