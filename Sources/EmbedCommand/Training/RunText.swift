// The text of a run: where it lies, how it becomes tokens, and whether it still is what it was.

internal import EmbedData
internal import EmbedTraining

/// A text as tokens.
struct RunText {
  /// The path from the root.
  let path: String
  let vocabulary: Vocabulary
  let tokens: [Int32]
  /// The SHA-256 of the tokens as little-endian integers of 32 bits.
  let digest: String

  /// Reads and tokenizes the text at `path`.
  init(_ path: String, _ vocabulary: Vocabulary) throws {
    self.path = absolutePath(path)
    self.vocabulary = vocabulary
    tokens = try vocabulary.tokenizer.encode(
      file: path,
      progress: ProgressBar(label: "Tokenizing", total: nil, unit: .items("tokens")))
    var digest = SHA256()
    for token in tokens {
      for shift in [0, 8, 16, 24] { digest.add(UInt8(truncatingIfNeeded: token >> Int32(shift))) }
    }
    self.digest = digest.finish()
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
