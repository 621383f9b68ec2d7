// `bag`: the rows of each bag of ids pooled, from a table of any form.

internal import EmbedKernel
internal import EmbedRows

/// Computes pooled embeddings.
enum Bag: Subcommand {
  static let name = "bag"
  static let summary = "The rows of each bag of ids summed, averaged or their largest columns."
  static let usage = [
    "--token-table FILE[:TENSOR] --token-ids IDS.npy --offsets OFF.npy [--weights W.npy] "
      + "--mode sum|mean|max [--output OUT.npy] [OPTIONS]",
    "--token-table FILE[:TENSOR] --token-ids IDS.npy --lengths LENGTHS.npy --mode sum|mean|max "
      + "[--output OUT.npy] [OPTIONS]",
  ]
  static let about = [
    "Computes output[b, :] = pool(weights[j] * tokens[ids[j], :]) over the ids j of bag b, as PyTorch's "
      + "EmbeddingBag: an empty bag gives zeros. Sums are float32 in the order of the ids, each product "
      + "and sum rounded; the same bits on any number of threads.",
    "Ids are [ids] with --offsets or --lengths, or without either a rectangle [bags, ids of a bag], whose "
      + "shorter bags are filled up with --padding-id.",
    "Without --output it shows the shapes, a few values, and the time of a call.",
  ]

  static let tokenIDs = Option(
    "token-ids", .array, "Ids [ids] or [bags, ids of a bag], integers", needed: nil)
  static let tokenTable = Option("token-table", .array, Embed.tokenTableForms, needed: nil)
  static let offsets = Option(
    "offsets", .array,
    "Where each bag starts among the ids [bags], integers: from 0 on, never falling")
  static let lastOffset = Option<LastOffset>(
    "last-offset", .choice([("omitted", .omitted), ("included", .included)]),
    "Whether the offsets end with the number of ids, one more than there are bags",
    default: .omitted
  ).needing(offsets)
  static let lengths = Option("lengths", .array, "How many ids each bag has [bags], integers")
  static let weights = Option(
    "weights", .array,
    "A weight for each id, of the ids' shape, for --mode sum: float32, or widened",
    otherwise: "all 1")
  static let mode = Option<BagPool>(
    "mode", .cases, "What becomes of a bag's rows", needed: "sum|mean|max")
  static let paddingID = Option(
    "padding-id", .integer("ID", in: 0...Int.max),
    "A token that is left out of its bag, also of a mean's number")
  static let output = Option(
    "output", .array, "Where the bags go [bags, dim]. The report then goes to standard error")

  static let groups = [
    OptionGroup(
      "Arrays: \(ArrayFile.forms)",
      [
        tokenIDs, tokenTable, RowOptions.rows, RowOptions.rowScales, RowOptions.resident, offsets,
        lastOffset, lengths, weights,
      ]),
    OptionGroup("Pooling", [mode, paddingID, LayerOptions.unknownIDs]),
    ComputeOptions.group, OptionGroup("Output", [output, Embed.outputType]),
  ]

  static func run(_ arguments: Arguments) throws {
    let kernels = try ComputeOptions.kernels(arguments)
    let type = try arguments[Embed.outputType]
    let path = try arguments[output]
    let job = try BagJob(arguments)
    switch type {
    case .float32: try run(job, kernels, to: path, as: Float.self)
    case .bfloat16: try run(job, kernels, to: path, as: BFloat16.self)
    case .float16: try run(job, kernels, to: path, as: Half.self)
    }
  }

  private static func run<Output: TableElement>(
    _ job: BagJob, _ kernels: Kernels, to path: String?, as type: Output.Type
  ) throws {
    var output = try AlignedBuffer<Output>(
      count: elementCount("output", job.count, job.table.dim))
    try job.run(into: &output, using: kernels)
    let shape = [job.count, job.table.dim]
    var facts = Table(.left, .left, .left, indent: 0)
    for fact in job.facts { facts.add(fact.what, fact.shape, fact.remark) }
    let remark = path.map { "\(type.numPyType), written to '\($0)'" } ?? "\(type.numPyType)"
    facts.add("bags", "\(shape)", remark)
    guard let path else {
      let report = Report.standardOutput
      report.table(facts)
      try show(job, output, kernels, to: report)
      return
    }
    try NumPyFile.write(output.span, shape: shape, to: path)
    Report.standardError.table(facts)
  }

  /// The first values, and how long a call takes.
  private static func show<Output: TableElement>(
    _ job: BagJob, _ output: borrowing AlignedBuffer<Output>, _ kernels: Kernels,
    to report: Report
  ) throws {
    guard output.count > 0 else { return }
    report.line()
    report.line("First values")
    var table = Table(.left, .left)
    let dim = job.table.dim
    for bag in 0..<min(job.count, 4) {
      var values = [Float](repeating: 0, count: dim)
      var span = values.mutableSpan
      try Kernels.auto.convert(output.span.extracting(bag * dim..<(bag + 1) * dim), into: &span)
      table.add("[\(bag), :]", preview(values.span))
    }
    report.table(table)
    var other = try AlignedBuffer<Output>(count: output.count)
    let seconds = try secondsPerCall { try job.run(into: &other, using: kernels) }
    report.line()
    report.line("A call takes \(formatted(seconds: seconds))")
  }
}
