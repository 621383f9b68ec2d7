// A run: steps, evaluations, rows and checkpoints, so that it can be killed between any two
// instructions and goes on from its last checkpoint as if nothing had been.
//
// What makes it so: a step is a function of the checkpoint and the text; a checkpoint is replaced whole
// or not at all; and the rows up to its step are on the disk before it is. Of several ranks the first has the
// folder; the others compute.

internal import EmbedData
internal import EmbedKernel
internal import EmbedTraining

/// A run between its first step and its last.
final class TrainingRun {
  let folder: RunFolder
  private let ranks: RunRanks
  private let lock: FolderLock?
  /// The threads of a step; nil for all CPUs.
  private let threads: Int?
  let settings: RunSettings
  let vocabulary: Vocabulary
  let data: TrainingData
  let trainer: Trainer
  /// On the first rank.
  private var log: LossLog?
  private let start = ContinuousClock.now
  /// What the run took before this process.
  private let secondsBefore: Double

  private var steps: Int { trainer.options.steps }
  private var stepTokens: Int { trainer.options.batch * trainer.context }
  private var seconds: Double { secondsBefore + (.now - start) / .seconds(1) }

  /// How a run begins.
  enum Beginning {
    case new
    /// With the lock of its folder, taken before its checkpoint was read; on the first rank.
    case resumed(FolderLock?)
  }

  /// Begins a run with its folder and its rows, or goes on with one; on each rank for itself.
  init(
    _ folder: RunFolder, _ settings: RunSettings, _ vocabulary: Vocabulary, _ data: TrainingData,
    _ trainer: Trainer, _ beginning: Beginning, _ ranks: RunRanks, threads: Int?
  ) throws {
    var lock: FolderLock?
    var rows: LossLog?
    if ranks.isFirst {
      switch beginning {
      case .new:
        lock = try folder.makeForNewRun()
        rows = try LossLog(creating: folder.losses)
      case .resumed(let taken):
        lock = taken
        rows = try LossLog(
          continuing: folder.losses, at: trainer.stepCount,
          stepTokens: trainer.options.batch * trainer.context)
        try folder.removeTemporaryFiles()
      }
    }
    secondsBefore = rows?.rows.last?.seconds ?? 0
    log = rows
    self.lock = lock
    self.ranks = ranks
    self.threads = threads
    self.folder = folder
    self.settings = settings
    self.vocabulary = vocabulary
    self.data = data
    self.trainer = trainer
  }

  /// Takes all steps that are left, and writes what a finished run has.
  func finish() throws {
    try takeSteps()
    guard ranks.isFirst else { return }
    try trainer.model.save(to: folder.model)
    try writeConfiguration()
    if let chart { try TextFile.write(chart.svg, to: folder.chart) }
    if settings.sample > 0 { try writeSample() }
  }

  private func takeSteps() throws {
    let progress =
      ranks.isFirst
      ? ProgressBar(
        label: "Training", total: steps * stepTokens, unit: .items("tokens"),
        startingAt: trainer.stepCount * stepTokens) : nil
    defer { progress?.finish() }
    var validation: Double?
    var told = (seconds: seconds, steps: 0, loss: 0.0)
    while trainer.stepCount < steps {
      let report = try ranks.together { try trainer.step(data) }
      let isLast = report.step == steps
      let isEvaluated = isLast || report.step.isMultiple(of: settings.evaluateEvery)
      if isEvaluated { validation = try validationLoss() }
      try log?.add(
        LossRow(
          step: report.step, tokens: report.step * stepTokens, learningRate: report.learningRate,
          trainingLoss: report.loss, validationLoss: isEvaluated ? validation : nil,
          gradientNorm: report.gradientNorm, seconds: seconds))
      if isLast || report.step.isMultiple(of: settings.saveEvery) { try save() }
      progress?.update(
        completed: report.step * stepTokens, note: Self.note(report.loss, validation))
      told.steps += 1
      told.loss += report.loss
      if isEvaluated {
        if let progress, !progress.isDrawn { tell(report.step, validation, since: told) }
        told = (seconds, 0, 0)
      }
    }
  }

  private static func note(_ loss: Double, _ validation: Double?) -> String {
    "loss " + fixed(loss, 3) + (validation.map { ", validation " + fixed($0, 3) } ?? "")
  }

  /// A line where no progress can be drawn.
  private func tell(
    _ step: Int, _ validation: Double?, since last: (seconds: Double, steps: Int, loss: Double)
  ) {
    let rate = Double(last.steps * stepTokens) / max(seconds - last.seconds, 1e-9)
    Report.standardError.line(
      "step \(grouped(step)) of \(grouped(steps)): "
        + Self.note(last.loss / Double(last.steps), validation)
        + ", \(grouped(Int(saturating: rate.rounded()))) tokens/s")
  }

  /// The loss on a part of what is held back that is the same each time; nil where nothing is.
  private func validationLoss() throws -> Double? {
    guard settings.validationShare > 0 else { return nil }
    return try ranks.together {
      try trainer.model.evaluate(
        data.validation, context: trainer.context, batch: trainer.options.passSequences,
        limit: settings.evaluationTokens, threads: threads, over: ranks.communicator
      ).loss
    }
  }

  /// Writes the checkpoint, after the rows that lead up to it.
  func save() throws {
    try ranks.each {
      try log?.synchronise()
      // With an index, transformers opens the model before the run has ended.
      if settings.checkpoint == .sharded, ranks.isFirst { try writeConfiguration() }
    }
    try ranks.together {
      switch settings.checkpoint {
      case .whole: try trainer.save(to: folder.checkpoint, texts: settings.texts)
      case .sharded: try trainer.saveShards(to: folder.path, texts: settings.texts)
      }
    }
  }

  /// Writes what transformers reads beside the parameters, for a model that it knows.
  private func writeConfiguration() throws {
    guard let text = HuggingFace.configuration(of: trainer.model.configuration) else { return }
    try TextFile.write(text, to: folder.configuration)
  }

  /// The losses of all steps; nil where there is none.
  private var chart: LineChart? {
    guard let rows = log?.rows, !rows.isEmpty else { return nil }
    let sizes = trainer.model.configuration
    let validation = rows.compactMap { row in
      row.validationLoss.map { (x: Double(row.step), y: $0) }
    }
    let training = rows.map { (x: Double($0.step), y: $0.trainingLoss) }
    return LineChart(
      title:
        "Loss of a GPT with \(RunFacts.positions(sizes.positions)), \(plural(sizes.layers, "layer")), dim \(sizes.dim)",
      subtitle: RunFacts.training(trainer), xLabel: "step", yLabel: "nats a token",
      series: [LineChart.Series("training", .faint, training)]
        + (validation.isEmpty ? [] : [LineChart.Series("validation", .strong, validation)]))
  }

  private func writeSample() throws {
    let tokens = try trainer.model.sample(
      after: vocabulary.beginning(), count: settings.sample,
      Sampling(temperature: 0.8, seed: trainer.options.seed), from: vocabulary.usedIDs(),
      threads: threads)
    let text = try vocabulary.tokenizer.decodeText(tokens)
    try TextFile.write(text + "\n", to: folder.sample)
    Report.standardOutput.line(printable(text))
  }

  /// The last row, for a summary.
  var lastRow: LossRow? { log?.rows.last }
}
