// `train`: a small GPT on a text, from the first step or from where a run was ended.

internal import EmbedData
internal import EmbedKernel
internal import EmbedTraining

/// Trains a model.
enum Train: Subcommand {
  static let name = "train"
  static let summary = "Trains a small GPT on a text, or goes on where a run ended."
  static let usage = ["--output FOLDER [OPTIONS]", "--resume FOLDER [--steps N] [--threads N]"]
  static let about = [
    "Trains a decoder-only transformer of GPT-2's kind. Without options it learns to write plays, a "
      + "byte a token.",
    "FOLDER gets checkpoint.safetensors, from which --resume goes on bit for bit, also after a crash; "
      + "losses.csv, a row a step; and at the end model.safetensors with GPT-2's names, losses.svg "
      + "and sample.txt. With learned positions and a tied head also config.json, with which "
      + "transformers loads the folder by GPT2LMHeadModel.from_pretrained.",
  ]
  static let groups = TrainOptions.groups

  static func run(_ arguments: Arguments) throws {
    let run: TrainingRun
    if let folder = try arguments[TrainOptions.resume] {
      run = try resumed(RunFolder(folder), arguments)
    } else {
      run = try begun(arguments)
    }
    try run.finish()
    tell(run)
  }

  private static func begun(_ arguments: Arguments) throws -> TrainingRun {
    guard let path = try arguments[TrainOptions.output] else {
      throw CommandError.usage("--output FOLDER is missing, or --resume FOLDER")
    }
    let folder = RunFolder(path)
    // What is wrong with the options is told before anything is read.
    _ = try TrainOptions.configuration(arguments, vocabulary: 1)
    let options = try TrainOptions.training(arguments)
    let share = try arguments[TrainOptions.validationShare]
    let threads = try arguments[TrainOptions.threads]
    try folder.checkFree()

    let vocabulary = try Vocabulary(arguments, standard: .byte)
    let sizes = try TrainOptions.configuration(arguments, vocabulary: vocabulary.rows())
    let text = try RunText(RunText.path(arguments, TrainOptions.text), vocabulary)
    let data = try text.data(
      context: sizes.context, validationShare: share, batch: options.steps > 0 ? options.batch : nil
    )
    let settings = RunSettings(
      text: text.path, tokenizer: text.vocabulary.kind,
      vocabulary: text.vocabulary.path.map(absolutePath), tokens: text.tokens.count,
      checkSum: text.checkSum, validationShare: share,
      evaluateEvery: try arguments[TrainOptions.evaluateEvery],
      evaluationTokens: try arguments[TrainOptions.evaluationTokens],
      saveEvery: try arguments[TrainOptions.saveEvery],
      sample: try arguments[TrainOptions.sample], threads: threads)
    let trainer = try Trainer(
      GPT(sizes, seed: options.seed), options, context: sizes.context, threads: threads)
    Report.standardError.table(RunFacts.table(text, data, trainer, folder))
    return try TrainingRun(folder, settings, text.vocabulary, data, trainer)
  }

  private static func resumed(_ folder: RunFolder, _ arguments: Arguments) throws -> TrainingRun {
    let allowed: [any AnyOption] = [
      TrainOptions.resume, TrainOptions.steps, TrainOptions.threads,
    ]
    try arguments.refuse(
      options.filter { option in !allowed.contains { $0.name == option.name } },
      "does not fit here: --resume takes it from the checkpoint")
    let steps = arguments.has(TrainOptions.steps) ? try arguments[TrainOptions.steps] : nil
    let threads = try arguments[TrainOptions.threads]
    guard Folders.fileSize(folder.checkpoint) != nil else {
      throw CommandError.data("no run to go on with: there is no file '\(folder.checkpoint)'")
    }
    // Before the checkpoint is read, which another run may be about to replace.
    let lock = try folder.lock()
    let texts = try SafetensorsHeader(contentsOf: folder.checkpoint).metadata
    guard var settings = try RunSettings(texts, path: folder.checkpoint) else {
      throw CommandError.data("'\(folder.checkpoint)' is of no run: its texts tell no run.text")
    }
    if let threads { settings.threads = threads }
    let text = try settings.readText()
    // The text proves the sizes of the run before memory is taken for them.
    let saved = try Trainer.settings(in: folder.checkpoint)
    let data = try text.data(
      context: saved.context, validationShare: settings.validationShare,
      batch: saved.options.steps > 0 ? saved.options.batch : nil)
    let trainer = try Trainer.restore(
      from: folder.checkpoint, steps: steps, threads: settings.threads
    ).trainer
    guard trainer.stepCount <= trainer.options.steps else {
      throw CommandError.usage(
        "--steps \(trainer.options.steps): the run has taken \(trainer.stepCount) already")
    }
    Report.standardError.table(RunFacts.table(text, data, trainer, folder))
    Report.standardError.line(
      "goes on after step \(grouped(trainer.stepCount)) of \(grouped(trainer.options.steps))")
    return try TrainingRun(
      folder, settings, text.vocabulary, data, trainer, continuing: lock)
  }

  /// The end of a run in a line.
  private static func tell(_ run: TrainingRun) {
    guard let row = run.lastRow else { return }
    let rate = Double(row.tokens) / max(row.seconds, 1e-3)
    Report.standardError.line(
      "\(plural(row.step, "step")), \(grouped(row.tokens)) tokens in \(formatted(seconds: row.seconds)) "
        + "(\(grouped(Int(saturating: rate.rounded()))) tokens/s): training loss \(fixed(row.trainingLoss, 3))"
        + (row.validationLoss.map { ", validation loss \(fixed($0, 3))" } ?? ""))
  }
}
