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
    "The rows that each step's gradients belong to [steps, listed rows], int32 or int64 (default: "
      + "all rows).")
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
    OptionGroup("Arrays, files of NumPy in C order", [table, gradients, rows]),
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
    let start = try NumPyArray<Float>(contentsOf: tablePath, rank: 2)
    let table = try naming(tablePath) { () throws(EmbedError) in
      try EmbeddingTable(rows: start.shape[0], dim: start.shape[1], copying: start.span)
    }
    let stepped = try TableOptimizer(
      rule, for: table, frozenRow: arguments.integer(frozenRow, in: 0...Int.max))
    let values = try NumPyArray<Float>(contentsOf: gradientPath, rank: 3)
    if let path = arguments.string(rows) {
      try step(stepped, values, gradientPath, try TokenBatch(contentsOf: path), path, kernels)
    } else {
      try step(stepped, values, gradientPath, kernels)
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
    _ optimizer: TableOptimizer, _ values: borrowing NumPyArray<Float>, _ path: String,
    _ kernels: Kernels
  ) throws {
    let (steps, count) = (values.shape[0], optimizer.rows * optimizer.dim)
    try expect(values.shape, [steps, optimizer.rows, optimizer.dim], path)
    for step in 0..<steps {
      let gradient = values.span.extracting(step * count..<(step + 1) * count)
      try optimizer.step(dense: gradient, using: kernels)
    }
  }

  /// Steps by gradients of listed rows.
  private static func step(
    _ optimizer: TableOptimizer, _ values: borrowing NumPyArray<Float>, _ path: String,
    _ rows: TokenBatch, _ rowPath: String, _ kernels: Kernels
  ) throws {
    let (steps, listed, dim) = (rows.batch, rows.context, optimizer.dim)
    try expect(values.shape, [steps, listed, dim], path)
    var groups = try RowGroups(capacity: listed)
    for step in 0..<steps {
      let ids = (step * listed..<(step + 1) * listed).map { rows[$0] }
      try naming(rowPath) { () throws(EmbedError) in
        try groups.group(ids.span, context: listed, vocabulary: optimizer.rows)
      }
      let gradient = values.span.extracting(step * listed * dim..<(step + 1) * listed * dim)
      try optimizer.step(outputGradient: gradient, groups: groups, using: kernels)
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
