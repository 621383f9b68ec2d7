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
    "table", .array, "The table [rows, dim], float32, bfloat16 or float16", needed: nil)
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
    otherwise: usual(\.weightDecay))
  static let beta1 = Option(
    "beta1", .number, "What a step keeps of the first moment, or of momentum",
    otherwise: usual(\.beta1))
  static let beta2 = Option(
    "beta2", .number, "What a step keeps of the second moment", otherwise: usual(\.beta2))
  static let epsilon = Option(
    "epsilon", .number, "Added to square roots", otherwise: usual(\.epsilon))
  static let initialSum = Option(
    "initial-sum", .number, "What adagrad's sums of squares start from",
    otherwise: usual(\.initialSum))
  static let rateDecay = Option(
    "rate-decay", .number,
    "Divides adagrad's rate of step k by 1 + (k - 1) * this, as torch's lr_decay",
    otherwise: usual(\.rateDecay))
  static let untouched = Option<UntouchedRows?>(
    "untouched", .cases,
    "Rows that --rows does not list in a step: step them with a gradient of zero, leave them and "
      + "their state, or, of adamw alone, catch them up when they are next listed or written",
    otherwise: "left for sgd, adagrad, row-wise-adagrad and sparse-adam, else stepped")
  static let moments = Option<ElementType>(
    "moments", .elementType,
    "Of adam, sparse-adam and adamw: how the state keeps both moments. bfloat16 takes half the bytes; what "
      + "a step writes is rounded up or down so that the mean is kept, with a standard deviation of at most "
      + "2^-8 / sqrt(1 - beta^2) of a moment that changes slowly", default: .float32)
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
      + "here on", default: false
  ).needing(stateIn)
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
      + "all F32, or BF16 as --moments says; 'trainable_rows' I32 [S] unless all rows are. With caught-up also 'residual' I8 [S, "
      + "dim], 'parameter_steps' and 'moment_steps' I32 [S]; with caught-up or master rows "
      + "'parameters' F32 [rows, dim], which steps go on from, rows that are behind included. A run cut "
      + "in two, with state and output handed over, gives the bits of the whole run.",
  ]

  static let groups = [
    OptionGroup("Arrays: \(ArrayFile.forms)", [table, gradients, rows]),
    OptionGroup(
      "Optimiser",
      [
        optimizer, weightDecay, beta1, beta2, epsilon, initialSum, rateDecay, untouched, moments,
        frozenRow,
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
      untouched: arguments[untouched]
    ).storingMoments(as: arguments[moments])
    let clipping = try Clipping(arguments)
    let frozen = try arguments[frozenRow]
    let table = try StepTable(tablePath, arguments)
    let trainable = try trainable(arguments)
    func make(_ values: EmbeddingTable<Float>?) throws -> TableOptimizer {
      try table.optimizer(rule, trainable: trainable, frozenRow: frozen, from: values)
    }
    let settings = StepSettings(
      rule, numbers,
      ["frozen-row": frozen.map { "\($0)" } ?? "none", "clip": "none"]
        .merging(table.texts) { $1 }.merging(clipping.texts) { $1 })

    let stepper =
      try arguments[stateIn].map {
        try StepState.restore($0, table, settings, ignoresSettings: arguments[stateSettings], make)
      } ?? make(nil)
    let first = stepper.stepCount
    let norms = try takeSteps(
      stepper, clipping, gradients: gradientPath, rows: arguments[rows], kernels)

    // First, so that a place that cannot be written fails before the table and the state are replaced.
    let taken = (first..<stepper.stepCount).map { rule.learningRate.rate(at: $0 + 1) }
    try arguments.write(taken.span, shape: [taken.count], to: rates)
    try arguments.write(norms.span, shape: [norms.count], to: ClipOptions.norms)

    // As it stands, before rows that are behind are brought up to date for the output.
    let state = try arguments[stateOut].map { try StepState.prepare($0, stepper, settings) }
    try stepper.synchronise(using: kernels)
    try stepper.writeTable(to: outputPath)
    try state?.commit()
    Report.standardError.line(
      "\(name): \(plural(stepper.stepCount - first, "step")) of a table \([stepper.rows, stepper.dim]), "
        + "written to '\(outputPath)'")
  }

  /// A number as the optimisers have it where it is not given: what most have, then the others'.
  private static func usual(_ number: KeyPath<UpdateNumbers, Double?>) -> String {
    var values: [(text: String, names: [String])] = []
    for name in UpdateRule.names {
      guard let value = try? UpdateRule.numbers(of: name)[keyPath: number] else { continue }
      let text = OptionKind<Double>.number.show(value)
      if let index = values.firstIndex(where: { $0.text == text }) {
        values[index].names.append(name)
      } else {
        values.append((text, [name]))
      }
    }
    values.sort { $0.names.count > $1.names.count }
    let others = values.dropFirst().map { "\($0.text) for \($0.names.joined(separator: " and "))" }
    return (values.first?.text ?? "") + (others.isEmpty ? "" : "; ")
      + others.joined(separator: ", ")
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
    return .rows(try integers(text, shapes: [[-1]]))
  }
}
