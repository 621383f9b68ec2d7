// What a run is, in words.

internal import EmbedDistributed
internal import EmbedTraining

/// A run's sizes and numbers, told.
enum RunFacts {
  /// A scheme, as part of a sentence.
  static func positions(_ scheme: EmbedTraining.PositionScheme) -> String {
    switch scheme {
    case .none: "no positions"
    case .learned: "learned positions"
    case .sinusoidal: "sinusoidal positions"
    case .rope: "RoPE"
    case .alibi: "ALiBi"
    case .t5: "T5's biases"
    }
  }

  /// Steps and sizes of a step.
  static func training(_ trainer: Trainer) -> String {
    let options = trainer.options
    return
      "\(plural(options.steps, "step")) of \(options.batch) × \(trainer.context) tokens, AdamW "
      + "at \(options.learningRate), seed \(options.seed)"
  }

  /// What is shared among ranks, where anything is.
  private static func groups(_ trainer: Trainer) -> String {
    guard let groups = trainer.options.gradientGroups else { return "" }
    let blocks =
      trainer.options.vocabularyBlocks.map { ", \(plural($0, "vocabulary block"))" } ?? ""
    return ", \(plural(groups, "gradient group"))\(blocks) on \(plural(trainer.ranks.size, "rank"))"
  }

  /// A table of what a run begins or goes on with.
  static func table(
    _ text: RunText, _ data: TrainingData, _ trainer: Trainer, _ folder: RunFolder
  ) -> Table {
    let sizes = trainer.model.configuration
    return Table(facts: [
      "text": "'\(text.path)'", "tokenizer": text.vocabulary.title,
      "tokens":
        "\(grouped(data.training.count)) to train on, \(grouped(data.validation.count)) held back",
      "model":
        "\(plural(sizes.layers, "layer")), dim \(sizes.dim), \(plural(sizes.heads, "head")), context "
        + "\(sizes.context), \(sizes.head.rawValue) head, \(positions(sizes.positions))",
      "memory":
        "\(plural(trainer.model.parameterCount, "parameter")); with state and activations "
        + formatted(bytes: trainer.memoryBytes),
      "training": training(trainer) + groups(trainer), "folder": "'\(folder.path)'",
    ])
  }
}
