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

  /// Reads and tokenizes the text at `path`, which must be a file that can be read again.
  init(_ path: String, _ vocabulary: Vocabulary) throws {
    guard Folders.fileSize(path) != nil || !exists(path) || Folders.isFolder(path) else {
      throw FileError.notRegularFile(path: path)
    }
    self.path = absolutePath(path)
    self.vocabulary = vocabulary
    tokens = try vocabulary.tokenizer.encode(
      file: path,
      progress: ProgressBar(label: "Tokenizing", total: nil, unit: .items("tokens")))
    checkSum = unsafe tokens.withUnsafeBytes { unsafe ZipChecks.checkSum($0) }
  }

  /// The text that an option names, or Shakespeare's plays.
  static func path(_ arguments: Arguments, _ option: Option<String?>) throws(CommandError) -> String
  {
    if let path = try arguments[option] { return path }
    guard Folders.fileSize(Vocabulary.shakespeare) != nil else {
      throw .data(
        "no text: scripts/setup-data fetches Shakespeare's plays to '\(Vocabulary.shakespeare)'; "
          + "or name a text by --\(option.name)")
    }
    return Vocabulary.shakespeare
  }

  /// The tokens, split; checked to have a batch, which bounds what a run allocates.
  ///
  /// - Parameter batch: The sequences of a step; nil where none is taken.
  func data(context: Int, validationShare: Double, batch: Int?) throws -> TrainingData {
    let data: TrainingData
    do throws(TrainingError) {
      data = try TrainingData(
        tokens: tokens, context: context, validationShare: validationShare)
    } catch .textTooShort(let part, let count, let needed) {
      throw CommandError.data(
        "'\(path)' has \(plural(tokens.count, "token")); its \(part) part has \(count), but needs "
          + "\(needed) or more")
    }
    guard let batch else { return data }
    let (count, overflow) = batch.multipliedReportingOverflow(by: context)
    guard !overflow, count < data.training.count else {
      throw CommandError.data(
        "'\(path)' has \(plural(data.training.count, "token")) to train on; a batch of "
          + "\(batch) sequences of \(context) needs "
          + (overflow ? "more than there can be" : grouped(count &+ 1)))
    }
    return data
  }
}
