// What a run was told beside the sizes of its model and the numbers of its training, kept as texts of
// its checkpoint so that it can go on.

internal import EmbedTraining

/// A run's settings.
struct RunSettings: Equatable {
  /// The text's path from the root.
  var text: String
  var tokenizer: TokenizerOptions.Kind
  /// The path of a vocabulary that is not the one that set-up fetches.
  var vocabulary: String?
  /// The number of the text's tokens, and their check sum.
  var tokens: Int
  var checkSum: UInt32
  /// The share of the text's tokens, at its end, that is held back.
  var validationShare: Double
  /// The steps from an evaluation to the next.
  var evaluateEvery: Int
  /// The most tokens of an evaluation.
  var evaluationTokens: Int
  /// The steps from a checkpoint to the next.
  var saveEvery: Int
  /// The tokens to sample at the end.
  var sample: Int
  /// The threads of a step; nil for all CPUs.
  var threads: Int?

  /// The most tokens to sample at the end: some megabytes of text.
  static let mostSampled = 1 << 20
}

extension RunSettings {
  /// As texts of a checkpoint.
  var texts: [String: String] {
    var texts = [
      "run.text": text, "run.tokenizer": tokenizer.rawValue, "run.tokens": "\(tokens)",
      "run.crc32": "\(checkSum)", "run.validation_share": "\(validationShare)",
      "run.evaluate_every": "\(evaluateEvery)", "run.evaluation_tokens": "\(evaluationTokens)",
      "run.save_every": "\(saveEvery)", "run.sample": "\(sample)",
    ]
    texts["run.vocabulary"] = vocabulary
    texts["run.threads"] = threads.map { "\($0)" }
    return texts
  }

  /// The settings among the texts of the checkpoint at `path`; nil where it is of no run.
  init?(_ texts: [String: String], path: String) throws(CommandError) {
    guard let text = texts["run.text"] else { return nil }
    func value<Value>(
      _ key: String, _ expected: String, _ read: (String) -> Value?
    ) throws(CommandError) -> Value {
      guard let value = texts[key].flatMap(read) else {
        let found = texts[key].map { "'\($0)'" } ?? "missing"
        throw .data("'\(path)': \(key) is \(found): expected \(expected)")
      }
      return value
    }
    func count(
      _ key: String, _ least: Int, most: Int = .max
    ) throws(CommandError) -> Int {
      let expected =
        most == .max ? "an integer of \(least) or more" : "an integer of \(least) to \(most)"
      return try value(key, expected) {
        Int($0).flatMap { $0 >= least && $0 <= most ? $0 : nil }
      }
    }
    self.init(
      text: text,
      tokenizer: try value("run.tokenizer", "gpt2 or byte") { .init(rawValue: $0) },
      vocabulary: texts["run.vocabulary"], tokens: try count("run.tokens", 1),
      checkSum: try value("run.crc32", "an integer of 32 bits") { UInt32($0) },
      validationShare: try value("run.validation_share", "a number of 0 or more, below 1") {
        Double($0).flatMap { (0..<1).contains($0) ? $0 : nil }
      },
      evaluateEvery: try count("run.evaluate_every", 1),
      evaluationTokens: try count("run.evaluation_tokens", 1),
      saveEvery: try count("run.save_every", 1),
      sample: try count("run.sample", 0, most: Self.mostSampled),
      threads: texts["run.threads"] == nil ? nil : try count("run.threads", 1, most: 1024))
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
