// `sample`: text that a model writes after a prompt.

internal import EmbedData
internal import EmbedTraining

/// Draws text from a model.
enum Sample: Subcommand {
  static let prompt = Option(
    "prompt", .text("TEXT"), "What the text begins with", otherwise: "the start of a line")
  static let tokens = Option(
    "tokens", .integer(in: 0...Int(Int32.max)), "Tokens to draw", default: 200,
    alsoCalled: ["length", "count", "num-tokens", "max-tokens", "max-new-tokens"])
  static let temperature = Option(
    "temperature", .atLeastZero(),
    "Below 1 the likely becomes likelier; 0 always takes the most likely token", default: 0.8)
  static let topK = Option(
    "top-k", .integer("K"), "Draws from the K most likely tokens", otherwise: "all")
  static let seed = Option("seed", .seed, "The same seed draws the same text", default: 0)
  static let slide = Option(
    "slide", .integer("N"),
    "The oldest tokens that are forgotten at once where the model sees no more: a quarter of its context "
      + "costs a pass over all it sees that much less often", default: 1)
  static let threads = TrainOptions.threads

  static let name = "sample"
  static let summary = "Text that a model writes after a prompt."
  static let usage = ["RUN [--prompt TEXT] [OPTIONS]"]
  static let about = [
    "RUN is a folder of 'embedkernel train', of which the last checkpoint counts, or a .safetensors "
      + "file that it wrote. The model sees as many tokens back as it was trained to."
  ]
  static let operandNames = ["RUN"]
  static let groups = [
    OptionGroup("Sampling", [prompt, tokens, temperature, topK, seed, slide, threads]),
    TrainedModel.tokenizer,
  ]

  static func run(_ arguments: Arguments) throws {
    let sampling = Sampling(
      temperature: try arguments[temperature], topK: try arguments[topK],
      seed: try arguments[seed], slide: try arguments[slide])
    let trained = try TrainedModel(arguments.operands[0], arguments)
    let prompt = try arguments[prompt]
    let start =
      try prompt.map { try trained.vocabulary.tokenizer.encode($0) }
      ?? trained.vocabulary.beginning()
    let drawn = try trained.model.sample(
      after: start, count: arguments[tokens], sampling, from: trained.vocabulary.usedIDs(),
      threads: arguments[threads])
    // Decoded together, as a character may have begun in the prompt.
    let all = try trained.vocabulary.tokenizer.decodeText(prompt == nil ? drawn : start + drawn)
    Report.standardOutput.line(printable(all))
  }
}
