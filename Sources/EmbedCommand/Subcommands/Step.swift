// `step`: optimiser steps of a table in .npy files, for checks against other programs.

internal import EmbedKernel

/// Steps a table by gradients.
enum Step: Subcommand {
  static let name = "step"
  static let summary = "Steps a table by an optimiser, from gradients in .npy files."
  static let usage = [
    "--optimizer NAME --table TABLE.npy --gradients G.npy [--rows R.npy] --output OUT.npy [OPTIONS]"
  ]
  static let about = [
    "Takes one step for each gradient and writes the table after the last. Gradients are "
      + "[steps, rows, dim], or with --rows [steps, listed rows, dim], a row for each listed id; an "
      + "id that a step lists more than once gets the sum.",
    "Numbers that are not given are the optimiser's usual ones; one that it lacks is an error.",
  ]

  static let optimizer = ChoiceOption<String>(
    "optimizer", UpdateRule.names.map { ($0, $0) }, "The optimiser.")
  static let table = Option("table", "NPY", "The table [rows, dim], float32.")
  static let gradients = Option(
    "gradients", "NPY", "Gradients [steps, rows or listed rows, dim], float32.")
  static let rows = Option(
    "rows", "NPY",
    "The rows that each step's gradients belong to [steps, listed rows], integers (default: all "
      + "rows).")
  static let learningRate = Option("learning-rate", "NUMBER", "The rate (default 0.001).")
  static let weightDecay = Option(
    "weight-decay", "NUMBER", "Weight decay (default 0; 0.01 for adamw and lamb).")
  static let beta1 = Option(
    "beta1", "NUMBER", "What a step keeps of the first moment, or of momentum (default 0.9).")
  static let beta2 = Option(
    "beta2", "NUMBER", "What a step keeps of the second moment (default 0.999).")
  static let epsilon = Option(
    "epsilon", "NUMBER", "Added to square roots (default 1e-8; 1e-6 for lamb, 1e-10 for adagrad).")
  static let initialSum = Option(
    "initial-sum", "NUMBER", "What adagrad's sums of squares start from (default 0).")
  static let rateDecay = Option(
    "rate-decay", "NUMBER", "How fast adagrad's rate falls with the step (default 0).")
  static let untouched = ChoiceOption<UntouchedRows>(
    "untouched", UntouchedRows.allCases.map { ($0.rawValue, $0) },
    "Rows without gradient in a step: step them with a gradient of zero, leave them, or catch them "
      + "up (adamw; the default is the optimiser's usual way).")
  static let frozenRow = Option("frozen-row", "ROW", "A row that never moves.")
  static let output = Option("output", "NPY", "Where the stepped table goes, float32 [rows, dim].")

  static let groups = [
    OptionGroup("Arrays: FILE.npy or FILE.npz:NAME", [table, gradients, rows]),
    OptionGroup(
      "Optimiser",
      [
        optimizer.option, learningRate, weightDecay, beta1, beta2, epsilon, initialSum, rateDecay,
        untouched.option, frozenRow,
      ]),
    ComputeOptions.group, OptionGroup("Output", [output]),
  ]

  static func run(_ arguments: Arguments) throws {
    let kernels = try ComputeOptions.kernels(arguments)
    guard let name = try arguments.choice(optimizer) else {
      throw CommandError.usage("--optimizer is needed")
    }
    let tablePath = try arguments.needed(table)
    let gradientPath = try arguments.needed(gradients)
    let outputPath = try arguments.needed(output)
    let rule = try UpdateRule.named(
      name, learningRate: .constant(arguments.number(learningRate) ?? 1e-3),
      numbers: numbers(arguments), untouched: arguments.choice(untouched))
    let table = try ArrayFile(tablePath).table()
    let stepped = try TableOptimizer(
      rule, for: table, frozenRow: arguments.integer(frozenRow, in: 0...Int.max))
    let file = try ArrayFile(gradientPath)
    let values = try file.floats(rank: 3)
    if let path = arguments.string(rows) {
      let rows = try TokenBatch(contentsOf: path)
      try expect(file.shape, [rows.batch, rows.context, stepped.dim], gradientPath)
      try check(rows, path, rowCount: stepped.rows)
      try step(stepped, values.span, rows, path, kernels)
    } else {
      try expect(file.shape, [file.shape[0], stepped.rows, stepped.dim], gradientPath)
      try step(stepped, values.span, steps: file.shape[0], kernels)
    }
    try stepped.synchronise(using: kernels)
    try NumPyFile.write(table.span, shape: [table.rows, table.dim], to: outputPath)
    Report.standardError.line(
      "\(name): \(stepped.stepCount) steps of a table \([table.rows, table.dim]), written to "
        + "'\(outputPath)'")
  }

  private static func numbers(_ arguments: Arguments) throws(CommandError) -> UpdateNumbers {
    try UpdateNumbers(
      weightDecay: arguments.number(weightDecay), beta1: arguments.number(beta1),
      beta2: arguments.number(beta2), epsilon: arguments.number(epsilon),
      initialSum: arguments.number(initialSum), rateDecay: arguments.number(rateDecay))
  }

  /// Steps by dense gradients.
  private static func step(
    _ optimizer: TableOptimizer, _ values: Span<Float>, steps: Int, _ kernels: Kernels
  ) throws {
    let count = optimizer.rows * optimizer.dim
    for step in 0..<steps {
      let gradient = values.extracting(step * count..<(step + 1) * count)
      try optimizer.step(dense: gradient, using: kernels)
    }
  }

  /// Steps by gradients of listed rows.
  private static func step(
    _ optimizer: TableOptimizer, _ values: Span<Float>, _ rows: TokenBatch, _ rowPath: String,
    _ kernels: Kernels
  ) throws {
    let (steps, listed, dim) = (rows.batch, rows.context, optimizer.dim)
    var groups = try RowGroups(capacity: listed)
    for step in 0..<steps {
      let ids = (step * listed..<(step + 1) * listed).map { rows[$0] }
      try naming(rowPath) { () throws(EmbedError) in
        try groups.group(ids.span, context: listed, vocabulary: optimizer.rows)
      }
      let gradient = values.extracting(step * listed * dim..<(step + 1) * listed * dim)
      try optimizer.step(outputGradient: gradient, groups: groups, using: kernels)
    }
  }

  /// Checks all rows before the first step: a step knows its own alone, not their place in the file.
  private static func check(
    _ rows: TokenBatch, _ path: String, rowCount: Int
  ) throws(CommandError) {
    for index in 0..<rows.count where !(0..<rowCount).contains(rows[index]) {
      throw .data(
        "'\(path)': row \(rows[index]) at \([index / rows.context, index % rows.context]) is outside "
          + "the table's \(plural(rowCount, "row")) (0...\(rowCount - 1))")
    }
  }

  private static func expect(
    _ found: [Int], _ expected: [Int], _ path: String
  ) throws(CommandError) {
    guard found == expected else {
      throw .data("'\(path)': expected shape \(expected), found \(found)")
    }
  }
}
