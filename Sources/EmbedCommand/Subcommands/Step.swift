// `step`: optimiser steps of a table in files, for checks against other programs.

internal import EmbedKernel

/// Steps a table by gradients.
enum Step: Subcommand {
  static let name = "step"
  static let summary = "Steps a table by an optimiser, from gradients in .npy files."
  static let usage = [
    "--optimizer NAME --table TABLE.npy --gradients G.npy [--rows R.npy] --output OUT.npy [OPTIONS]"
  ]

  static let optimizer = Option<String>(
    "optimizer", .choice(UpdateRule.names.map { ($0, $0) }, "NAME"),
    "One of \(UpdateRule.names.joined(separator: ", "))", needed: nil)
  static let table = Option(
    "table", .array, "The table [rows, dim], float32 or bfloat16", needed: nil)
  static let gradients = Option(
    "gradients", .array,
    "Gradients [steps, rows or listed rows, dim], float32; float16 and bfloat16 are widened",
    needed: nil)
  static let rows = Option(
    "rows", .array,
    "The rows that each step's gradients belong to [steps, listed rows], integers",
    otherwise: "all rows")
  static let weightDecay = Option(
    "weight-decay", .number,
    "Weight decay: added to the gradient as decay * parameter; in adamw and lamb apart from it",
    otherwise: "0; 0.01 for adamw and lamb")
  static let beta1 = Option(
    "beta1", .number, "What a step keeps of the first moment, or of momentum", otherwise: "0.9")
  static let beta2 = Option(
    "beta2", .number, "What a step keeps of the second moment", otherwise: "0.999")
  static let epsilon = Option(
    "epsilon", .number, "Added to square roots",
    otherwise: "1e-8; 1e-6 for lamb, 1e-10 for adagrad and row-wise-adagrad")
  static let initialSum = Option(
    "initial-sum", .number, "What adagrad's sums of squares start from", otherwise: "0")
  static let rateDecay = Option(
    "rate-decay", .number,
    "Divides adagrad's rate of step k by 1 + (k - 1) * this, as torch's lr_decay", otherwise: "0")
  static let untouched = Option<UntouchedRows?>(
    "untouched", .cases,
    "Rows that --rows does not list in a step: step them with a gradient of zero, leave them and "
      + "their state, or, of adamw alone, catch them up when they are next listed or written",
    otherwise: "left for sgd, adagrad, row-wise-adagrad and sparse-adam, else stepped")
  static let frozenRow = Option(
    "frozen-row", .integer("ROW", in: 0...Int.max), "A row that never moves", otherwise: "none")
  static let trainableRows = Option(
    "trainable-rows", .text("FIRST:END|NPY"),
    "The rows that move and have state: FIRST up to but not including END, or a list of integers [n]",
    otherwise: "all")
  static let stateIn = Option(
    "state-in", .text("FILE.safetensors"), "The state to go on from",
    otherwise: "fresh state, step 0")
  static let stateOut = Option(
    "state-out", .text("FILE.safetensors"), "Where the state after the last step goes")
  static let stateSettings = Option<Bool>(
    "state-settings", .choice([("match", false), ("ignore", true)]),
    "Whether the settings that the state remembers must be those given here, or those given hold from "
      + "here on", default: false)
  static let output = Option(
    "output", .array,
    "Where the stepped table goes [rows, dim], of the table's type; bfloat16 is written as NumPy's "
      + "'<V2'", needed: nil)
  static let rates = Option(
    "rates", .array, "Where each step's learning rate goes, before --rate-decay, float64 [steps]")

  static let about = [
    "Takes one step for each gradient and writes the table after the last. Gradients are "
      + "[steps, rows, dim], or with --rows [steps, listed rows, dim], a row for each listed id; an "
      + "id that a step lists more than once gets the sum.",
    "Numbers that are not given are the optimiser's usual ones; one that it lacks is an error. Steps "
      + "are those of torch's SGD (sgd, momentum, nesterov), Adagrad, Adam, SparseAdam and AdamW, of "
      + "FBGEMM's row-wise Adagrad, and of LAMB with a trust ratio for each row.",
    "A state is a .safetensors file. Its metadata have 'optimizer', 'step' (the steps taken) and the "
      + "settings by option name; a file made elsewhere may leave the settings out. Its tensors, for S "
      + "trainable rows: 'momentum' [S, dim] for momentum and nesterov, 'sum' [S, dim] for adagrad, "
      + "'sum' [S] for row-wise-adagrad, 'exp_avg' and 'exp_avg_sq' [S, dim] for the others but sgd, "
      + "all F32; 'trainable_rows' I32 [S] unless all rows are. With caught-up also 'residual' I8 [S, "
      + "dim], 'parameter_steps' and 'moment_steps' I32 [S]; with caught-up or master rows "
      + "'parameters' F32 [rows, dim], which steps go on from, rows that are behind included. A run cut "
      + "in two, with state and output handed over, gives the bits of the whole run.",
  ]

  static let groups = [
    OptionGroup("Arrays: \(ArrayFile.forms)", [table, gradients, rows]),
    OptionGroup(
      "Optimiser",
      [
        optimizer, weightDecay, beta1, beta2, epsilon, initialSum, rateDecay, untouched, frozenRow,
        trainableRows, StepTable.updates, StepTable.roundingSeed,
      ]),
    RateOptions.group, ClipOptions.group,
    OptionGroup("State", [stateIn, stateOut, stateSettings]),
    ComputeOptions.group, OptionGroup("Output", [output, rates, ClipOptions.norms]),
  ]

  static func run(_ arguments: Arguments) throws {
    let kernels = try ComputeOptions.kernels(arguments)
    let name = try arguments[optimizer]
    let (tablePath, gradientPath) = (try arguments[table], try arguments[gradients])
    let outputPath = try arguments[output]
    try arguments.checkDistinct([output, stateOut, rates, ClipOptions.norms])
    let numbers = try UpdateRule.numbers(of: name, with: numbers(arguments))
    let rule = try UpdateRule.named(
      name, learningRate: RateOptions.rate(arguments), numbers: numbers,
      untouched: arguments[untouched])
    let clipping = try Clipping(arguments)
    let frozen = try arguments[frozenRow]
    let given = try StepTable(tablePath, arguments)
    let trainable = try trainable(arguments)
    func make(_ table: StepTable) throws -> TableOptimizer {
      try table.optimizer(rule, trainable: trainable, frozenRow: frozen)
    }
    let settings = StepSettings(
      rule, numbers,
      ["frozen-row": frozen.map { "\($0)" } ?? "none", "clip": "none"]
        .merging(given.texts) { $1 }.merging(clipping.texts) { $1 })

    let (stepped, stepper): (StepTable, TableOptimizer)
    if let path = try arguments[stateIn] {
      (stepped, stepper) = try StepState.restore(
        path, given, settings, ignoresSettings: arguments[stateSettings], make)
    } else {
      try arguments.refuse([stateSettings], "needs --\(stateIn.name)")
      (stepped, stepper) = (given, try make(given))
    }
    let first = stepper.stepCount
    let run = try StepRun(
      stepper, clipping, gradients: gradientPath, rows: arguments[rows], kernels)
    let norms = try run.steps()

    // First, so that a place that cannot be written fails before the table and the state are replaced.
    if let path = try arguments[rates] {
      let values = (first..<stepper.stepCount).map { rule.learningRate.rate(at: $0 + 1) }
      try NumPyFile.write(values.span, shape: [values.count], to: path)
    }
    if let path = try arguments[ClipOptions.norms] {
      try NumPyFile.write(norms.span, shape: [norms.count], to: path)
    }

    // As it stands, before rows that are behind are brought up to date for the output.
    if let path = try arguments[stateOut] {
      let state = try StepState.prepare(path, stepper, settings)
      try stepper.synchronise(using: kernels)
      try stepped.write(to: outputPath)
      try state.commit()
    } else {
      try stepper.synchronise(using: kernels)
      try stepped.write(to: outputPath)
    }
    Report.standardError.line(
      "\(name): \(plural(stepper.stepCount - first, "step")) of a table \([stepped.rows, stepped.dim]), "
        + "written to '\(outputPath)'")
  }

  private static func numbers(_ arguments: Arguments) throws(CommandError) -> UpdateNumbers {
    try UpdateNumbers(
      weightDecay: arguments[weightDecay], beta1: arguments[beta1], beta2: arguments[beta2],
      epsilon: arguments[epsilon], initialSum: arguments[initialSum],
      rateDecay: arguments[rateDecay])
  }

  /// `FIRST:END`, or the list in a file.
  private static func trainable(_ arguments: Arguments) throws -> TrainableRows {
    guard let text = try arguments[trainableRows] else { return .all }
    let ends = text.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
    if ends.count == 2, let first = ends[0], let end = ends[1] {
      guard first >= 0, first < end else {
        throw CommandError.usage(
          "option --\(trainableRows.name): '\(text)' is no range of rows FIRST:END, FIRST < END")
      }
      return .range(first..<end)
    }
    return .rows(try integers(text, shapes: [[-1]]).map { Int($0) })
  }
}
