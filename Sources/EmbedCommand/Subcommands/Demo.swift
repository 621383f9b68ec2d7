// `demo`: the story of the first layer in numbers, from a real text to input embeddings, and what
// positions change about a word.

internal import EmbedData
internal import EmbedKernel

/// Shows each step of the first layer.
enum Demo: Subcommand {
  static let text = Option(
    "text", .text("FILE"), "The text",
    otherwise:
      "Shakespeare's plays where scripts/setup-data has fetched them, else a few sentences "
      + "that are built in")
  static let seed = Option("seed", .seed, "Seed of the tables", default: 0)

  static let name = "demo"
  static let summary = "The story: ids of a text, the shapes as they form, what positions change."
  static let usage = ["[OPTIONS]"]
  static let about = [
    "Embeds 8 windows of 4 tokens of a text into vectors of 256 floats, and shows the shape of "
      + "each step. Then it compares the vectors of the same words in two sentences, before and "
      + "after positions are added."
  ]
  static let groups = [
    OptionGroup("Text", [text, TokenizerOptions.tokenizer, TokenizerOptions.vocabulary, seed]),
    ComputeOptions.group,
  ]

  private static let (batch, context, dim, maximum) = (8, 4, 256, 1024)

  static func run(_ arguments: Arguments) throws {
    let kernels = try ComputeOptions.kernels(arguments)
    let seed = try arguments[seed]
    let vocabulary = try Vocabulary(arguments)
    let source = try Source(arguments[text], vocabulary.tokenizer)
    let report = Report.standardOutput

    report.table(Table(facts: ["text": source.title, "tokenizer": vocabulary.title]))
    if let note = vocabulary.note {
      for line in wrap("(\(note).)", width: 80) { report.line(line) }
    }

    let layer = try InputEmbedding(
      vocabulary: vocabulary.rows(), dim: dim,
      positions: .learned(maximum: maximum), seed: seed)
    try showShapes(source, vocabulary.tokenizer, layer, kernels, report)
    try WordComparison(vocabulary.tokenizer, layer, kernels).show(report)
  }

  private static func showShapes(
    _ source: Source, _ tokenizer: any Tokenizer, _ layer: InputEmbedding, _ kernels: Kernels,
    _ report: Report
  ) throws {
    let ids = try source.loader.batch(0).inputs

    report.line()
    report.line("1  token ids [\(batch), \(context)]: \(batch) windows of the text")
    var windows = Table(.right, .right, .right, .right, .left, indent: 5)
    for row in 0..<batch {
      let window = ids[row * context..<(row + 1) * context]
      let cells = window.map { "\($0)" }
      windows.add(cells[0], cells[1], cells[2], cells[3], try tokenizer.quoted(window))
    }
    report.table(windows)

    var tokens = try layer.makeOutput(batch: batch, context: context)
    var tokenSpan = tokens.mutableSpan
    try layer.tokens.forward(
      ids.span, batch: batch, context: context, into: &tokenSpan, using: kernels)
    report.line(
      "2  token embeddings [\(batch), \(context), \(dim)]: for each id its row of the token table "
        + "[\(layer.tokens.vocabulary), \(dim)]")
    report.line("     [0, 0, :] = \(preview(tokens.span.extracting(first: dim)))")

    guard let positions = layer.positions else { return }
    report.line(
      "3  position embeddings [\(context), \(dim)]: the first \(context) rows of the position table "
        + "[\(maximum), \(dim)]")
    report.line("     [0, :]    = \(preview(positions[0]))")

    var output = try layer.makeOutput(batch: batch, context: context)
    try layer.forward(ids, batch: batch, context: context, into: &output, using: kernels)
    report.line(
      "4  input embeddings [\(batch), \(context), \(dim)]: 2 + 3, the same positions for every window"
    )
    report.line("     [0, 0, :] = \(preview(output.span.extracting(first: dim)))")
    for i in 0..<output.count {
      let sum = tokens[i] + positions.span[i % (context * dim)]
      guard output[i].bitPattern == sum.bitPattern else {
        throw CommandError.data("element \(i) is \(output[i]), not the sum \(sum)")
      }
    }
    let plan = try kernels.plan(for: layer.shape(batch: batch, context: context))
    let seconds = try secondsPerCall {
      try layer.forward(ids, batch: batch, context: context, into: &output, using: kernels)
    }
    report.line(
      "     all \(grouped(output.count)) elements are that sum, bit for bit; one call takes "
        + "\(formatted(seconds: seconds)) (\(plan.backend.rawValue), "
        + "\(plural(plan.threads, "thread")))")
  }

  /// The tokens of the text that the batch is taken from.
  private struct Source {
    let title: String
    let loader: WindowLoader

    init(_ path: String?, _ tokenizer: any Tokenizer) throws {
      let cache = Vocabulary.shakespeare
      let limit = batch * context + 1
      let ids: [Int32]
      if let path = path ?? (Folders.fileSize(cache) == nil ? nil : cache) {
        title = "'\(path)'"
        ids = try tokenizer.encode(file: path, limit: limit)
      } else {
        title = "a few sentences that are built in (scripts/setup-data fetches Shakespeare's plays)"
        ids = Array(try tokenizer.encode(sampleText).prefix(limit))
      }
      loader = try WindowLoader(tokens: ids, context: context, batchSize: batch)
      guard loader.batchCount > 0 else {
        throw CommandError.data(
          "\(title) has \(plural(ids.count, "token")); \(batch) windows of \(context) need "
            + "\(limit)")
      }
    }
  }
}
