// The options of `train`, their defaults and what they mean together.

internal import EmbedTraining

/// The options of a run.
enum TrainOptions {
  static let text = Option(
    "text", "FILE", "The text (default: Shakespeare's plays, which scripts/setup-data fetches).")
  static let tokenizer = ChoiceOption<TokenizerOptions.Kind>(
    TokenizerOptions.tokenizer.option.name, TokenizerOptions.tokenizer.choices,
    "GPT-2's byte-pair encoding, or a token a byte (default byte).")
  static let validationShare = Option(
    "validation-share", "NUMBER",
    "The share of the tokens, at the text's end, that is held back (default 0.1; 0 evaluates "
      + "nothing).")

  static let context = Option("context", "N", "Tokens of a sequence (default 64).")
  static let dim = Option("dim", "N", "Floats of a token's vector (default 128).")
  static let heads = Option("heads", "N", "Attention heads, which divide dim (default 4).")
  static let layers = Option("layers", "N", "Blocks (default 4).")
  static let positions = ChoiceOption<EmbedTraining.PositionScheme>(
    "positions", EmbedTraining.PositionScheme.allCases.map { ($0.rawValue, $0) },
    "How the model knows where a token stands (default learned).")
  static let head = ChoiceOption<OutputHead>(
    "head", OutputHead.allCases.map { ($0.rawValue, $0) },
    "Logits from the token table, as GPT-2's, or from one of their own (default tied).")

  static let batch = Option("batch", "N", "Sequences of a step (default 32).")
  static let microBatch = Option(
    "micro-batch", "N", "Sequences of a pass, to save memory (default: the whole batch).")
  static let steps = Option("steps", "N", "Steps of the whole run (default 1000).")
  static let learningRate = Option(
    "learning-rate", "NUMBER", "AdamW's rate after the warm-up (default 0.002).")
  static let finalLearningRate = Option(
    "final-learning-rate", "NUMBER",
    "Where a cosine takes the rate by the last step (default: a tenth of the rate).")
  static let warmup = Option(
    "warmup", "N", "Steps over which the rate rises (default: a twentieth of the steps).")
  static let weightDecay = Option(
    "weight-decay", "NUMBER", "Weight decay of matrices (default 0.1).")
  static let clip = Option(
    "clip", "NUMBER", "The most that a gradient's norm may be (default 1; 0 clips nothing).")
  static let seed = Option("seed", "N", "Draws parameters and the order of the text (default 0).")
  static let threads = Option("threads", "N", "Threads of a step (default: all CPUs).")

  static let evaluateEvery = Option(
    "evaluate-every", "N", "Steps from an evaluation to the next (default 100).")
  static let evaluationTokens = Option(
    "evaluation-tokens", "N",
    "Tokens of an evaluation, from the start of what is held back (default 20000).")
  static let saveEvery = Option(
    "save-every", "N", "Steps from a checkpoint to the next (default 100).")
  static let sample = Option("sample", "N", "Tokens to write at the end (default 200).")
  static let output = Option("output", "FOLDER", "Where a new run goes. Needed, or --resume.")
  static let resume = Option(
    "resume", "FOLDER", "Goes on with the run in FOLDER; takes --steps and --threads alone.")

  static let groups = [
    OptionGroup("Text", [text, tokenizer.option, TokenizerOptions.vocabulary, validationShare]),
    OptionGroup("Model", [context, dim, heads, layers, positions.option, head.option]),
    OptionGroup(
      "Training",
      [
        batch, microBatch, steps, learningRate, finalLearningRate, warmup, weightDecay, clip, seed,
        threads,
      ]),
    OptionGroup(
      "Run", [evaluateEvery, evaluationTokens, saveEvery, sample, output, resume]),
  ]

  /// The model's sizes, checked but for the vocabulary.
  static func configuration(
    _ arguments: Arguments, vocabulary: Int
  ) throws(CommandError) -> GPTConfiguration {
    let dim = try arguments.integer(dim) ?? 128
    let heads = try arguments.integer(heads) ?? 4
    let positions = try arguments.choice(positions) ?? .learned
    guard dim.isMultiple(of: heads) else {
      throw .usage("--dim \(dim) is not a multiple of --heads \(heads)")
    }
    guard positions != .rope || (dim / heads).isMultiple(of: 2) else {
      throw .usage(
        "--positions rope turns pairs: \(dim / heads) floats of a head, --dim \(dim) by --heads "
          + "\(heads), are not an even number")
    }
    return GPTConfiguration(
      vocabulary: vocabulary, context: try arguments.integer(context) ?? 64, dim: dim,
      heads: heads, layers: try arguments.integer(layers) ?? 4, positions: positions,
      head: try arguments.choice(head) ?? .tied)
  }

  /// The numbers of the training.
  static func training(_ arguments: Arguments) throws(CommandError) -> TrainingOptions {
    let batch = try arguments.integer(batch) ?? 32
    let microBatch = try arguments.integer(microBatch) ?? batch
    guard microBatch <= batch else {
      throw .usage("--micro-batch \(microBatch) is more than the batch of \(batch)")
    }
    let steps = try arguments.integer(steps, in: 0...Int(Int32.max)) ?? 1_000
    let rate = try arguments.number(learningRate, above: 0) ?? 2e-3
    let clip = try number(arguments, clip, "0 or more") { $0 >= 0 } ?? 1
    return TrainingOptions(
      batch: batch, microBatch: microBatch, steps: steps, learningRate: rate,
      finalLearningRate: try number(arguments, finalLearningRate, "0 or more") { $0 >= 0 },
      warmup: try arguments.integer(warmup, in: 0...Int(Int32.max)) ?? steps / 20,
      weightDecay: try number(arguments, weightDecay, "0 or more") { $0 >= 0 } ?? 0.1,
      clip: clip == 0 ? nil : clip, seed: try arguments.seed(seed) ?? 0)
  }

  /// A number that must hold to what the message says of it.
  static func number(
    _ arguments: Arguments, _ option: Option, _ expected: String, _ holds: (Double) -> Bool
  ) throws(CommandError) -> Double? {
    guard let value = try arguments.number(option) else { return nil }
    guard holds(value) else {
      let text = arguments.string(option) ?? ""
      throw .usage("option --\(option.name): '\(text)' is not a number of \(expected)")
    }
    return value
  }
}
