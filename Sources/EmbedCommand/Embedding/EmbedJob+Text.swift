// The text form: windows of a text, and tables drawn from a seed.

internal import EmbedData
internal import EmbedKernel

extension EmbedJob {
  /// Tokenizes as much of the text as the batches need, and draws the tables.
  ///
  /// Windows that a short text leaves out make the last batch smaller.
  init(text path: String, _ arguments: Arguments, _ shared: LayerSettings) throws {
    let (batch, context) = (try arguments[Embed.batch], try arguments[Embed.context])
    let stride = try arguments[Embed.stride] ?? context
    let (batches, dim) = (try arguments[Embed.batches], try arguments[Embed.dim])
    let seed = try arguments[Embed.seed]
    let rows = try shared.rows(context: context, arguments[Embed.maximumContext])

    let vocabulary = try Vocabulary(arguments)
    vocabulary.announce(Embed.name)
    let ids = try windows(
      path, vocabulary.tokenizer, arguments[TokenizerOptions.special], batch: batch,
      context: context, stride: stride, batches: batches)
    let windowCount = ids.count / context
    tokens = TokenBatch(ids, batch: windowCount, context: context)

    let positions: AbsolutePositions =
      switch shared.scheme ?? .learned {
      case .learned: .learned(maximum: rows)
      case .sinusoidal: .sinusoidal(maximum: rows, layout: shared.layout, base: shared.base)
      case .nothing: .none
      }
    let drawn = try InputEmbedding(
      vocabulary: vocabulary.rows(), dim: dim, positions: positions,
      paddingID: shared.paddingID, seed: seed)
    let plain = try shared.layer(drawn.tokens, drawn.positions)
    layer = try FusedOptions.call(arguments, plain, tokens) ?? plain.tables
    let (place, placePath) = try PlaceOptions.place(
      arguments, batch: windowCount, context: context)
    self.place = place
    paths = SourcePaths(segments: try arguments[FusedOptions.segmentIDs], places: placePath)

    let asked = batch.multipliedReportingOverflow(by: batches)
    let short =
      asked.overflow || windowCount < asked.partialValue
      ? "; the text ends there" : ""
    facts = [
      ("text", "", "'\(path)'"),
      ("tokenizer", "", vocabulary.title),
      (
        "token ids", "\([windowCount, context])",
        "windows of \(context) tokens, \(stride) apart\(short)"
      ),
      (
        "token table", "\([drawn.tokens.vocabulary, dim])", "normal(0, 0.02), seed \(seed)"
      ),
      (
        "position table", drawn.positions.map { "\([$0.rows, dim])" } ?? "none",
        drawn.positions == nil ? "" : positions.name
      ),
    ]
  }
}

/// The ids of the first windows of a text, `[windows, context]`.
private func windows(
  _ path: String, _ tokenizer: any Tokenizer, _ special: SpecialText, batch: Int, context: Int,
  stride: Int, batches: Int
) throws -> [Int32] {
  // A window has one token more than its row, the last target. What overflows is more than any
  // file has.
  let (count, overflow) = batch.multipliedReportingOverflow(by: batches)
  let (span, tooWide) = (count &- 1).multipliedReportingOverflow(by: stride)
  let (needed, tooMany) = span.addingReportingOverflow(context)
  let limit = overflow || tooWide || tooMany || needed == .max ? Int.max : needed + 1
  let progress = ProgressBar(
    label: "Tokenizing", total: limit == .max ? nil : limit, unit: .items("tokens"))
  let ids = try tokenizer.encode(file: path, special: special, limit: limit, progress: progress)
  let loader = try WindowLoader(
    tokens: ids, context: context, stride: stride, batchSize: batch, lastBatch: .kept)
  guard loader.windowCount > 0 else {
    throw CommandError.data(
      "'\(path)' has \(plural(ids.count, "token")); a window of \(context) needs \(context) and "
        + "one more to predict")
  }
  // Windows that overlap have more ids than the text; each is held as 32 bits, then as 64.
  let total = try elementCount("token ids", loader.windowCount, context)
  try SystemMemory.check(elementCount("bytes of token ids", total, 16))
  var rows: [Int32] = []
  rows.reserveCapacity(total)
  for batch in loader.batches() { rows += try batch.get().inputs }
  return rows
}
