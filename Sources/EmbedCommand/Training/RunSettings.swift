// What a run was told beside the sizes of its model and the numbers of its training, kept as texts of
// its checkpoint so that it can go on.

internal import EmbedTraining

/// A run's settings.
struct RunSettings: Equatable {
  /// The text's path from the root.
  var text = ""
  var tokenizer = TokenizerOptions.Kind.byte
  /// The path of a vocabulary that is not the one that set-up fetches.
  var vocabulary: String?
  /// The number of the text's tokens, and their check sum.
  var tokens = 0
  var checkSum: UInt32 = 0
  /// The share of the text's tokens, at its end, that is held back.
  var validationShare = 0.0
  /// The steps from an evaluation to the next.
  var evaluateEvery = 0
  /// The most tokens of an evaluation.
  var evaluationTokens = 0
  /// The steps from a checkpoint to the next.
  var saveEvery = 0
  var checkpoint = CheckpointForm.whole
  /// The tokens to sample at the end.
  var sample = 0
  /// The threads of a step; nil for all CPUs.
  var threads: Int?

  /// The most tokens to sample at the end: some megabytes of text.
  static let mostSampled = 1 << 20
}

extension RunSettings {
  private static var fields: [CheckpointField<RunSettings>] {
    func count(
      _ key: String, _ path: WritableKeyPath<RunSettings, Int>
    ) -> CheckpointField<RunSettings> {
      .init(key, path, "an integer of 1 or more") { $0 >= 1 }
    }
    return [
      .init("run.text", \.text), .init(choice: "run.tokenizer", \.tokenizer),
      .init("run.vocabulary", \.vocabulary), count("run.tokens", \.tokens),
      .init("run.crc32", \.checkSum, "an integer of 32 bits"),
      .init("run.validation_share", \.validationShare, "a number of 0 or more, below 1") {
        (0..<1).contains($0)
      },
      count("run.evaluate_every", \.evaluateEvery),
      count("run.evaluation_tokens", \.evaluationTokens), count("run.save_every", \.saveEvery),
      .init(choice: "run.checkpoint", \.checkpoint, absent: .whole),
      .init("run.sample", \.sample, "an integer of 0 to \(mostSampled)") {
        (0...mostSampled).contains($0)
      },
      .init("run.threads", \.threads, "an integer of 1 to 1024") { (1...1024).contains($0) },
    ]
  }

  /// As texts of a checkpoint.
  var texts: [String: String] { Self.fields.texts(of: self) }

  /// What ranks of a run must have alike: all but paths and threads, which may be a machine's own.
  var facts: [(name: String, value: String)] {
    let own = ["run.text", "run.vocabulary", "run.threads"]
    return texts.filter { !own.contains($0.key) }.sorted { $0.key < $1.key }.map {
      (name: $0.key, value: $0.value)
    }
  }

  /// The settings among the texts of the checkpoint at `path`; nil where it is of no run.
  init?(_ texts: [String: String], path: String) throws(TrainingError) {
    guard texts["run.text"] != nil else { return nil }
    self.init()
    try Self.fields.read(&self, from: CheckpointTexts(path, texts))
  }

  /// The run's text, read again.
  ///
  /// - Throws: `CommandError` where it gives other tokens than it did.
  func readText() throws -> RunText {
    let read = try RunText(text, Vocabulary(tokenizer, path: vocabulary))
    guard read.tokens.count == tokens, read.checkSum == checkSum else {
      throw CommandError.data(
        "'\(text)' is not the text that the run began with: it has "
          + "\(plural(read.tokens.count, "token")) with the check sum \(read.checkSum), but had "
          + "\(grouped(tokens)) with \(checkSum)")
    }
    return read
  }
}
