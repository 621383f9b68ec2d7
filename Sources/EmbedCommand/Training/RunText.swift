// The text of a run: where it lies, how it becomes tokens, and whether it still is what it was.

internal import EmbedData
internal import EmbedKernel
internal import EmbedTraining

/// A text as tokens.
struct RunText {
  /// The path from the root.
  let path: String
  let vocabulary: Vocabulary
  let tokens: [Int32]
  /// The CRC-32 of the tokens as integers of 32 bits in the machine's order.
  let checkSum: UInt32

  /// Reads and tokenizes the text at `path`.
  init(_ path: String, _ vocabulary: Vocabulary) throws {
    self.path = absolutePath(path)
    self.vocabulary = vocabulary
    tokens = try vocabulary.tokenizer.encode(
      file: path,
      progress: ProgressBar(label: "Tokenizing", total: nil, unit: .items("tokens")))
    checkSum = unsafe tokens.withUnsafeBytes { unsafe ZipChecks.checkSum($0) }
  }

  /// The text that an option names, or Shakespeare's plays.
  static func path(_ arguments: Arguments, _ option: Option) throws(CommandError) -> String {
    if let path = arguments.string(option) { return path }
    guard fileSize(Vocabulary.shakespeare) != nil else {
      throw .data(
        "no text: scripts/setup-data fetches Shakespeare's plays to '\(Vocabulary.shakespeare)'; "
          + "or name a text by --\(option.name)")
    }
    return Vocabulary.shakespeare
  }

  /// The tokens, split.
  func data(context: Int, validationShare: Double) throws -> TrainingData {
    do throws(TrainingError) {
      return try TrainingData(
        tokens: tokens, context: context, validationShare: validationShare)
    } catch .textTooShort(let part, let count, let needed) {
      throw CommandError.data(
        "'\(path)' has \(plural(tokens.count, "token")); its \(part) part has \(count), but needs "
          + "\(needed) or more")
    }
  }
}
