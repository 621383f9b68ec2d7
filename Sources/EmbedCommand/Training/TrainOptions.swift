// The options of `train`, their defaults and what they mean together.

internal import EmbedTraining

/// The options of a run.
enum TrainOptions {
  static let text = Option(
    "text", .text("FILE"), "The text",
    otherwise: "Shakespeare's plays, which scripts/setup-data fetches")
  static let tokenizer = TokenizerOptions.tokenizer(otherwise: "byte")
  static let validationShare = Option(
    "validation-share", .number("NUMBER", "0 or more, below 1") { (0..<1).contains($0) },
    "The share of the tokens, at the text's end, that is held back", default: 0.1,
    "; 0 evaluates nothing")

  static let context = Option("context", .integer(), "Tokens of a sequence", default: 64)
  static let dim = Option("dim", .integer(), "Floats of a token's vector", default: 128)
  static let heads = Option("heads", .integer(), "Attention heads, which divide dim", default: 4)
  static let layers = Option("layers", .integer(), "Blocks", default: 4)
  static let positions = Option<EmbedTraining.PositionScheme>(
    "positions", .cases, "How the model knows where a token stands", default: .learned)
  static let head = Option<OutputHead>(
    "head", .cases, "Logits from the token table, as GPT-2's, or from one of their own",
    default: .tied)

  static let batch = Option("batch", .integer(), "Sequences of a step", default: 32)
  static let microBatch = Option(
    "micro-batch", .integer(), "Sequences of a pass, to save memory", otherwise: "the whole batch")
  static let gradientGroups = Option(
    "gradient-groups", .integer(),
    "Parts of a batch whose gradients are computed alone and summed in pairs: so many, shared among ranks or not, "
      + "give the same model",
    otherwise:
      "the batch is not cut; under mpirun, or with blocks, \(mostGroups), or the batch where that is less"
  )
  static let vocabularyBlocks = Option(
    "vocabulary-blocks", .integer(),
    "Parts of the vocabulary whose logits and gradients ranks share: each computes its blocks for the tokens of all",
    otherwise: "each rank computes all logits of its own tokens")
  static let steps = Option("steps", .steps, "Steps of the whole run", default: 1000)
  static let learningRate = Option(
    "learning-rate", .number(above: 0), "AdamW's rate after the warm-up", default: 2e-3)
  static let finalLearningRate = Option(
    "final-learning-rate", .atLeastZero(), "Where a cosine takes the rate by the last step",
    otherwise: "a tenth of the rate")
  static let warmup = Option(
    "warmup", .steps, "Steps over which the rate rises", otherwise: "a twentieth of the steps")
  static let weightDecay = Option(
    "weight-decay", .atLeastZero(), "Weight decay of matrices", default: 0.1)
  static let clip = Option(
    "clip", .atLeastZero(), "The most that a gradient's norm may be", default: 1,
    "; 0 clips nothing")
  static let seed = Option("seed", .seed, "Draws parameters and the order of the text", default: 0)
  static let threads = Option(
    "threads", .threads, "Threads of a step", otherwise: "all CPUs, which ranks on them share")
  static let mpi = Option<MPIUse>(
    "mpi", .cases, "Whether the run is one of ranks that mpirun started", default: .auto,
    ", where the environment says so")
  static let timeOut = Option(
    "time-out", .number(above: 0),
    "Seconds without a word from a rank after which it counts as hung",
    default: 300)

  static let evaluateEvery = Option(
    "evaluate-every", .integer(), "Steps from an evaluation to the next", default: 100)
  static let evaluationTokens = Option(
    "evaluation-tokens", .integer(),
    "Tokens of an evaluation, from the start of what is held back", default: 20_000)
  static let saveEvery = Option(
    "save-every", .integer(), "Steps from a checkpoint to the next", default: 100)
  static let checkpoint = Option<CheckpointForm>(
    "checkpoint", .cases,
    "One file that the first rank writes, or files that all ranks write together, each what it steps, and an index",
    default: .whole)
  static let sample = Option(
    "sample", .integer(in: 0...RunSettings.mostSampled), "Tokens to write at the end", default: 200)
  static let output = Option(
    "output", .text("FOLDER"), "Where a new run goes. Needed, or --resume")
  static let resume = Option(
    "resume", .text("FOLDER"),
    "Goes on with the run in FOLDER; takes --steps, --threads, --mpi and --time-out alone")

  static let groups = [
    OptionGroup("Text", [text, tokenizer, TokenizerOptions.vocabulary, validationShare]),
    OptionGroup("Model", [context, dim, heads, layers, positions, head]),
    OptionGroup(
      "Training",
      [
        batch, microBatch, gradientGroups, vocabularyBlocks, steps, learningRate, finalLearningRate,
        warmup,
        weightDecay, clip, seed,
        threads,
      ]),
    OptionGroup(
      "Run",
      [
        evaluateEvery, evaluationTokens, saveEvery, checkpoint, sample, output, resume, mpi,
        timeOut,
      ]),
  ]

  /// The model's sizes, checked but for the vocabulary.
  static func configuration(
    _ arguments: Arguments, vocabulary: Int
  ) throws(CommandError) -> GPTConfiguration {
    let (dim, heads) = (try arguments[dim], try arguments[heads])
    let positions = try arguments[positions]
    guard dim.isMultiple(of: heads) else {
      throw .usage("--dim \(dim) is not a multiple of --heads \(heads)")
    }
    guard positions != .rope || (dim / heads).isMultiple(of: 2) else {
      throw .usage(
        "--positions rope turns pairs: \(dim / heads) floats of a head, --dim \(dim) by --heads "
          + "\(heads), are not an even number")
    }
    return GPTConfiguration(
      vocabulary: vocabulary, context: try arguments[context], dim: dim, heads: heads,
      layers: try arguments[layers], positions: positions, head: try arguments[head])
  }

  /// The groups of a batch under mpirun: enough for some ranks, few enough for their sums to cost little.
  private static let mostGroups = 16

  /// The numbers of the training.
  static func training(
    _ arguments: Arguments, _ ranks: RunRanks
  ) throws(CommandError) -> TrainingOptions {
    let batch = try arguments[batch]
    let microBatch = try arguments[microBatch] ?? batch
    guard microBatch <= batch else {
      throw .usage("--micro-batch \(microBatch) is more than the batch of \(batch)")
    }
    var groups = try arguments[gradientGroups]
    if let groups, groups > batch {
      throw .usage("--gradient-groups \(groups) is more than the batch of \(batch)")
    }
    let blocks = try arguments[vocabularyBlocks]
    // Not by the number of ranks, which must not matter.
    if groups == nil, ranks.communicator != nil || blocks != nil { groups = min(batch, mostGroups) }
    let (steps, clip) = (try arguments[steps], try arguments[clip])
    return TrainingOptions(
      batch: batch, microBatch: microBatch, gradientGroups: groups, vocabularyBlocks: blocks,
      steps: steps,
      learningRate: try arguments[learningRate],
      finalLearningRate: try arguments[finalLearningRate],
      warmup: try arguments[warmup] ?? steps / 20, weightDecay: try arguments[weightDecay],
      clip: clip == 0 ? nil : clip, seed: try arguments[seed])
  }
}

extension OptionKind where Value == Int {
  /// A number of steps.
  fileprivate static var steps: Self { integer(in: 0...Int(Int32.max)) }
}
