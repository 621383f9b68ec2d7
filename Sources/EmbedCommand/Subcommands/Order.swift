// `order`: whether the order of words reaches a model's output, by each position scheme.

internal import EmbedData
internal import EmbedKernel
internal import EmbedTraining

/// Compares the pooled outputs of two orders of the same words.
enum Order: Subcommand {
  static let first = Option(
    "first", .words, "Words in an order, a token a byte", default: "the cat sat on the mat")
  static let second = Option(
    "second", .words, "The same in another", default: "on the mat the cat sat")
  static let model = Option(
    "model", .text("SAFETENSORS"),
    "A trained model, whose parameters are compared beside drawn ones",
    otherwise: "small models with drawn parameters, one of every scheme")
  static let seed = Option("seed", .seed, "Draws parameters", default: 0)
  static let output = Option(
    "output", .text("CSV"), "Where the table goes", otherwise: "standard output")

  static let name = "order"
  static let summary = "Whether the order of words reaches a model's output."
  static let usage = ["[--model FILE.safetensors] [OPTIONS]"]
  static let about = [
    "Runs two texts of the same tokens through a model and prints the largest difference of their "
      + "mean-pooled outputs, relative to the largest output.",
    "Without positions and without a mask a transformer is blind to order, and the difference is one "
      + "of rounding; with either it need not be.",
    "Prints CSV, a line a model: its positions, its direction of attention, whether its parameters are "
      + "drawn or trained, and the difference; what that says goes to standard error.",
  ]
  static let groups = [
    OptionGroup("Words", [first, second]), OptionGroup("Models", [model, seed]),
    OptionGroup("Output", [output]),
  ]

  static func run(_ arguments: Arguments) throws {
    let texts = [try arguments[first], try arguments[second]]
    let orders = try texts.map { try ByteTokenizer().encode($0) }
    guard orders[0].sorted() == orders[1].sorted() else {
      throw CommandError.usage(
        "'\(texts[0])' and '\(texts[1])' are not the same bytes in two orders")
    }
    let seed = try arguments[seed]
    var table = "positions,direction,parameters,difference\n"
    for (model, parameters) in try models(arguments, orders[0].count, seed: seed) {
      let sizes = model.configuration
      table +=
        "\(sizes.positions.rawValue),\(sizes.direction.rawValue),\(parameters),"
        + "\(try difference(model, orders))\n"
    }
    try Report.deliver(table, to: arguments[output])
    guard !arguments.has(output) else { return }
    Report.standardError.line(
      "difference: the largest between the mean outputs of '\(texts[0])' and '\(texts[1])', over the "
        + "largest output; below 1e-5 it is rounding, and the model is blind to order")
  }

  /// The models to compare, each with what its parameters are.
  private static func models(
    _ arguments: Arguments, _ tokens: Int, seed: UInt64
  ) throws -> [(model: GPT, parameters: String)] {
    let trained = try arguments[model].map { try GPT(contentsOf: $0) }
    let sizes =
      if let trained {
        [trained.configuration]
      } else {
        EmbedTraining.PositionScheme.allCases.map {
          GPTConfiguration(
            vocabulary: ByteTokenizer().vocabularySize, context: tokens, dim: 64, heads: 4,
            layers: 2, positions: $0)
        }
      }
    var models: [(GPT, String)] = []
    for sizes in sizes {
      for direction in AttentionDirection.allCases.reversed() {
        var sizes = sizes
        sizes.direction = direction
        models.append((try GPT(sizes, seed: seed), "drawn"))
        if let trained {
          let copy = try GPT(sizes, seed: seed)
          for (target, source) in zip(copy.parameters, trained.parameters) {
            let values = source.table
            target.take(values.span)
          }
          models.append((copy, "trained"))
        }
      }
    }
    return models
  }

  /// The largest difference of the mean outputs, relative to the largest of the first.
  private static func difference(_ model: GPT, _ orders: [[Int32]]) throws -> Double {
    let (count, dim) = (orders[0].count, model.configuration.dim)
    let workspace = try GPTWorkspace(
      for: model, batch: 1, context: count, purpose: .evaluation, threads: 1)
    var hidden = try SystemMemory.array(0 as Float, count: elementCount("hidden", count, dim))
    var pooled: [[Double]] = []
    for ids in orders {
      var span = hidden.mutableSpan
      try model.hidden(ids.span, batch: 1, context: count, into: &span, in: workspace)
      pooled.append(
        (0..<dim).map { i in
          (0..<count).reduce(0.0) { $0 + Double(hidden[$1 * dim + i]) } / Double(count)
        })
    }
    let largest = pooled[0].reduce(0) { max($0, abs($1)) }
    return zip(pooled[0], pooled[1]).reduce(0) { max($0, abs($1.0 - $1.1)) } / largest
  }
}
