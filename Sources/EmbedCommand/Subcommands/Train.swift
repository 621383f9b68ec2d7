// `train`: a small GPT on a text, from the first step or from where a run was ended.

internal import EmbedData
internal import EmbedDistributed
internal import EmbedFiles
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
      + "and sample.txt. With --checkpoint sharded the state is in files beside model.safetensors.index.json instead, "
      + "which ranks write together. With learned positions and a tied head also config.json, with which "
      + "transformers loads the folder by GPT2LMHeadModel.from_pretrained.",
    "Under mpirun, ranks share each batch: they write the same bytes whatever their number, and one process with "
      + "as many --gradient-groups, and the same --vocabulary-blocks if any, writes them too. scripts/mpi compiles what opens MPI.",
  ]
  static let groups = TrainOptions.groups
  static var isOverRanks: Bool { true }

  static func run(_ arguments: Arguments) throws {
    let ranks = try RunRanks(arguments)
    try ranks.run(name) {
      let run: TrainingRun
      if let folder = try ranks.each({ try arguments[TrainOptions.resume] }) {
        run = try resumed(RunFolder(folder), arguments, ranks)
      } else {
        run = try begun(arguments, ranks)
      }
      try run.finish()
      tell(run)
    }
  }

  /// What a run reads before it takes memory for its model.
  private struct Reading {
    let settings: RunSettings
    let text: RunText
    let data: TrainingData
  }

  private static func begun(_ arguments: Arguments, _ ranks: RunRanks) throws -> TrainingRun {
    // What is wrong with the options is told before anything is read.
    let (folder, options) = try ranks.each {
      guard let path = try arguments[TrainOptions.output] else {
        throw CommandError.usage("--output FOLDER is missing, or --resume FOLDER")
      }
      _ = try TrainOptions.configuration(arguments, vocabulary: 1)
      let options = try TrainOptions.training(arguments, ranks)
      _ = try arguments[TrainOptions.validationShare]
      _ = try arguments[TrainOptions.threads]
      let folder = RunFolder(path)
      if ranks.isFirst { try folder.checkFree() }
      return (folder, options)
    }
    let threads = try ranks.threads(arguments[TrainOptions.threads])

    let (sizes, reading) = try ranks.each {
      let vocabulary = try Vocabulary(arguments, standard: .byte)
      let sizes = try TrainOptions.configuration(arguments, vocabulary: vocabulary.rows())
      let text = try RunText(RunText.path(arguments, TrainOptions.text), vocabulary)
      let share = try arguments[TrainOptions.validationShare]
      let data = try text.data(
        context: sizes.context, validationShare: share,
        batch: options.steps > 0 ? options.batch : nil)
      let settings = RunSettings(
        text: text.path, tokenizer: text.vocabulary.kind,
        vocabulary: text.vocabulary.path.map(absolutePath), tokens: text.tokens.count,
        checkSum: text.checkSum, validationShare: share,
        evaluateEvery: try arguments[TrainOptions.evaluateEvery],
        evaluationTokens: try arguments[TrainOptions.evaluationTokens],
        saveEvery: try arguments[TrainOptions.saveEvery],
        checkpoint: try arguments[TrainOptions.checkpoint],
        sample: try arguments[TrainOptions.sample], threads: try arguments[TrainOptions.threads])
      return (sizes, Reading(settings: settings, text: text, data: data))
    }
    try ranks.agree(reading.settings)
    let trainer = try ranks.together {
      try Self.trainer(GPT(sizes, seed: options.seed), options, threads, ranks)
    }
    let run = try begin(reading, trainer, folder, .new, threads, ranks)
    try run.save()
    return run
  }

  private static func trainer(
    _ model: GPT, _ options: TrainingOptions, _ threads: Int?, _ ranks: RunRanks
  ) throws -> Trainer {
    let context = model.configuration.context
    guard let communicator = ranks.communicator else {
      return try Trainer(model, options, context: context, threads: threads)
    }
    return try Trainer(model, options, context: context, threads: threads, over: communicator)
  }

  private static func begin(
    _ reading: Reading, _ trainer: Trainer, _ folder: RunFolder,
    _ beginning: TrainingRun.Beginning, _ threads: Int?, _ ranks: RunRanks
  ) throws -> TrainingRun {
    if ranks.isFirst {
      Report.standardError.table(RunFacts.table(reading.text, reading.data, trainer, folder))
      if case .resumed = beginning {
        Report.standardError.line(
          "goes on after step \(grouped(trainer.stepCount)) of \(grouped(trainer.options.steps))")
      }
    }
    return try ranks.each {
      try TrainingRun(
        folder, reading.settings, reading.text.vocabulary, reading.data, trainer, beginning, ranks,
        threads: threads)
    }
  }

  private static func resumed(
    _ folder: RunFolder, _ arguments: Arguments, _ ranks: RunRanks
  ) throws -> TrainingRun {
    let allowed: [any AnyOption] = [
      TrainOptions.resume, TrainOptions.steps, TrainOptions.threads, TrainOptions.mpi,
      TrainOptions.timeOut,
    ]
    let (steps, given, state, lock) = try ranks.each {
      try arguments.refuse(
        options.filter { option in !allowed.contains { $0.name == option.name } },
        "does not fit here: --resume takes it from the checkpoint")
      let steps = arguments.has(TrainOptions.steps) ? try arguments[TrainOptions.steps] : nil
      let threads = try arguments[TrainOptions.threads]
      guard let state = try folder.state() else {
        throw CommandError.data("no run to go on with: there is no file '\(folder.checkpoint)'")
      }
      // Before the checkpoint is read, which another run may be about to replace.
      return (steps, threads, state, ranks.isFirst ? try folder.lock() : nil)
    }
    let reading = try ranks.each {
      let (file, texts) = try Trainer.texts(in: state)
      guard var settings = try RunSettings(texts, path: file) else {
        throw CommandError.data("'\(file)' is of no run: its texts tell no run.text")
      }
      guard (settings.checkpoint == .sharded) == (state == folder.path) else {
        throw CommandError.data(
          "'\(file)' is of a run whose checkpoints are \(settings.checkpoint.rawValue): it belongs to another folder"
        )
      }
      if let given { settings.threads = given }
      let text = try settings.readText()
      // The text proves the sizes of the run before memory is taken for them.
      let saved = try Trainer.settings(in: state)
      if let communicator = ranks.communicator, communicator.size > 1,
        saved.options.gradientGroups == nil
      {
        throw CommandError.data(
          "'\(state)' is of a run without gradient groups, which goes on in one process alone"
        )
      }
      let data = try text.data(
        context: saved.context, validationShare: settings.validationShare,
        batch: saved.options.steps > 0 ? saved.options.batch : nil)
      return Reading(settings: settings, text: text, data: data)
    }
    try ranks.agree(reading.settings)
    let threads = try ranks.threads(reading.settings.threads)
    let trainer = try ranks.together {
      try Trainer.restore(
        from: state, steps: steps, threads: threads, over: ranks.communicator
      ).trainer
    }
    try ranks.each {
      guard trainer.stepCount <= trainer.options.steps else {
        throw CommandError.usage(
          "--steps \(trainer.options.steps): the run has taken \(trainer.stepCount) already")
      }
    }
    return try begin(reading, trainer, folder, .resumed(lock), threads, ranks)
  }

  /// The end of a run in a line.
  private static func tell(_ run: TrainingRun) {
    guard let row = run.lastRow else { return }
    let rate = Double(row.tokens) / max(row.seconds, 1e-3)
    let peak = SystemMemory.peak
    Report.standardError.line(
      "\(plural(row.step, "step")), \(grouped(row.tokens)) tokens in \(formatted(seconds: row.seconds)) "
        + "(\(grouped(Int(saturating: rate.rounded()))) tokens/s): training loss \(fixed(row.trainingLoss, 3))"
        + (row.validationLoss.map { ", validation loss \(fixed($0, 3))" } ?? "")
        + (peak > 0 ? "; peak memory \(formatted(bytes: peak))" : ""))
  }
}
