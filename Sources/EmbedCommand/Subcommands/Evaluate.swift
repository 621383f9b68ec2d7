// `evaluate`: a model's loss on text that was held back, at lengths of one's choice and by position.

internal import EmbedData
internal import EmbedKernel
internal import EmbedResizing
internal import EmbedTraining

internal import CSystem

/// Evaluates a model.
enum Evaluate: Subcommand {
  static let lengths = Option(
    "lengths", .integers(in: 1...Int(Int32.max)), "Tokens of a sequence, one length or more",
    otherwise: "the trained one")
  static let text = Option(
    "text", .text("FILE"), "The text", otherwise: "the run's, else Shakespeare's plays")
  static let validationShare = Option(
    "validation-share", .number("NUMBER", "more than 0, at most 1") { $0 > 0 && $0 <= 1 },
    "The share of the tokens, at the text's end, that is evaluated on",
    otherwise: "the run's, else 0.1; 1 takes all")
  static let interpolate = Option<PositionInterpolation?>(
    "interpolate", .cases, "How a learned position table is stretched to lengths past its end",
    otherwise: "not at all")
  static let limit = Option(
    "limit", .integer("TOKENS"), "The most tokens for each length", otherwise: "all")
  static let threads = TrainOptions.threads
  static let output = Option(
    "output", .text("CSV"),
    "Where the loss at each position goes: length, position, loss, count")

  static let name = "evaluate"
  static let summary = "A model's loss on text held back, by length and by position."
  static let usage = ["RUN [--lengths N,N,...] [OPTIONS]"]
  static let about = [
    "RUN is a folder of 'embedkernel train', of which the last checkpoint counts, or a .safetensors "
      + "file that it wrote. Losses are means in nats a token; perplexity is their exponential.",
    "Sequences follow one another from the start of what is held back. Relative schemes and sinusoids "
      + "reach any length; a learned table ends where it was trained to, unless it is interpolated.",
  ]
  static let operandNames = ["RUN"]
  static let groups = [
    OptionGroup("Evaluation", [lengths, interpolate, limit, threads]),
    OptionGroup("Text", [text, validationShare]), TrainedModel.tokenizer,
    OptionGroup("Output", [output]),
  ]

  static func run(_ arguments: Arguments) throws {
    let interpolation = try arguments[interpolate]
    let trained = try TrainedModel(arguments.operands[0], arguments)
    let sizes = trained.model.configuration
    let lengths = Set(try arguments[lengths] ?? [sizes.context]).sorted()
    if sizes.positions == .learned, interpolation == nil,
      let length = lengths.first(where: { $0 > sizes.context })
    {
      throw CommandError.data(
        "length \(length) is past the learned position table, which was trained to "
          + "\(sizes.context); --interpolate linear or cubic stretches the table")
    }
    let (path, tokens) = try validation(trained, arguments)
    if let longest = lengths.last, tokens.count <= longest {
      throw CommandError.data(
        "'\(path)': \(plural(tokens.count, "token")) held back; a sequence of \(longest) needs "
          + (longest == .max ? "one more" : grouped(longest + 1)))
    }

    let progress = ProgressBar(label: "Evaluating", total: lengths.count, unit: .items("lengths"))
    var table = Table(.right, .right, .right, .right, indent: 0)
    table.add("length", "loss", "perplexity", "tokens")
    var rows = "length,position,loss,count\n"
    // Rising, so that a stretched table is made anew from the trained one for each.
    for (index, length) in lengths.enumerated() {
      progress.update(completed: index)
      try trained.model.extend(to: length, interpolation: interpolation)
      let found = try trained.model.evaluate(
        tokens, context: length, batch: max(1, 2_048 / length), limit: arguments[limit],
        threads: arguments[threads])
      table.add(
        "\(length)", fixed(found.loss, 4), fixed(exp(found.loss), 2),
        grouped(found.sequences * length))
      for (position, loss) in found.positionLosses.enumerated() {
        rows += "\(length),\(position),\(loss.legible),\(found.sequences)\n"
      }
    }
    progress.finish()
    if let output = try arguments[output] { try TextFile.write(rows, to: output) }
    Report.standardOutput.table(table)
  }

  /// The tokens that were held back, and where they are from.
  private static func validation(
    _ trained: TrainedModel, _ arguments: Arguments
  ) throws -> (path: String, tokens: [Int32]) {
    let share = try arguments[validationShare] ?? trained.settings?.validationShare ?? 0.1
    let text =
      if let settings = trained.settings, !arguments.has(text) {
        try settings.readText()
      } else {
        try RunText(RunText.path(arguments, text), trained.vocabulary)
      }
    return (text.path, Array(TrainingData.held(text.tokens, share: share)))
  }
}
