// `project`: the output head that is tied to the token table, and its gradients, on arrays of files.

internal import EmbedKernel

/// Computes logits against a token table, or the gradients of them.
enum Project: Subcommand {
  static let name = "project"
  static let summary = "Logits of hidden states against the token table (tied head), and gradients."
  static let usage = [
    "--hidden H.npy --token-table TABLE.npy --output LOGITS.npy [OPTIONS]",
    "--hidden H.npy --token-table TABLE.npy --logit-gradient G.npy [--hidden-gradient OUT.npy] "
      + "[--token-gradient OUT.npy] [OPTIONS]",
  ]
  static let about = [
    "Computes logits[..., v] = scale * sum over d of hidden[..., d] * tokens[v, d], as torch's "
      + "scale * linear(hidden, tokens), in float32 by OpenBLAS.",
    "With --logit-gradient: hidden-gradient[..., d] = scale * sum over v of logit-gradient[..., v] * "
      + "tokens[v, d], and token-gradient[v, d] = scale * sum over all hidden states n of "
      + "logit-gradient[n, v] * hidden[n, d], where the padding row's is 0.",
  ]

  static let hidden = Option(
    "hidden", .array, "Hidden states [..., dim], float32; float16 and bfloat16 are widened",
    needed: nil)
  static let tokenTable = Option(
    "token-table", .array,
    "Token table [vocabulary, dim], float32; all others that embed takes are widened", needed: nil)
  static let scale = Option("scale", .float(), "Multiplies the logits", default: 1)
  static let paddingID = Option(
    "padding-id", .integer("ID", in: 0...Int.max),
    "A token whose row has no gradient; its logits are as any other's")
  static let logitGradient = Option(
    "logit-gradient", .array, "Gradient of the logits [..., vocabulary], float32 or widened")
  static let output = Option(
    "output", .array, "Where the logits go, float32 [..., vocabulary]")
  static let hiddenGradient = Option(
    "hidden-gradient", .array, "Where the hidden states' gradient goes, float32 [..., dim]"
  ).needing(logitGradient)
  static let tokenGradient = Option(
    "token-gradient", .array, "Where the table's gradient goes, float32 [vocabulary, dim]"
  ).needing(logitGradient)

  static let groups = [
    OptionGroup("Arrays: \(ArrayFile.forms)", [hidden, tokenTable, logitGradient]),
    OptionGroup("Head", [scale, paddingID]),
    OptionGroup("Output, one or more", [output, hiddenGradient, tokenGradient]),
  ]

  static func run(_ arguments: Arguments) throws {
    let hiddenPath = try arguments[hidden]
    let tablePath = try arguments[tokenTable]
    try arguments.checkDistinct([output, hiddenGradient, tokenGradient])
    if !arguments.has(logitGradient) {
      _ = try arguments.needed(output)
    } else if arguments.first(of: [hiddenGradient, tokenGradient]) == nil {
      throw CommandError.usage("--\(hiddenGradient.name) or --\(tokenGradient.name) is needed")
    }
    let (factor, padding) = (try arguments[scale], try arguments[paddingID])
    let table = try TableFile.tokens(tablePath).floats()
    let head = try naming(tablePath) { () throws(EmbedError) in
      try TiedProjection(TokenEmbedding(table: table, paddingID: padding), scale: factor)
    }
    let file = try ArrayFile(hiddenPath)
    guard file.shape.last == table.dim else {
      throw CommandError.data(
        "'\(hiddenPath)': expected shape [..., \(table.dim)] as in '\(tablePath)', found "
          + "\(file.shape)")
    }
    let states = try file.floats()
    let outer = Array(file.shape.dropLast())
    let rows = outer.reduce(1, *)
    if arguments.has(output) {
      var logits = try AlignedBuffer<Float>(count: elementCount("logits", rows, table.rows))
      var span = logits.mutableSpan
      try head.logits(states.span, rows: rows, into: &span)
      try arguments.write(span.span, shape: outer + [table.rows], to: output)
    }
    guard let path = try arguments[logitGradient] else { return }
    let given = try ArrayFile(path)
    try given.require(shapes: [outer + [table.rows]])
    let gradient = try given.floats()
    var stateGradient = try AlignedBuffer<Float>(count: states.count)
    var tableGradient = try TableGradient(for: table)
    var span = stateGradient.mutableSpan
    try head.backward(
      gradient.span, hidden: states.span, rows: rows, hiddenGradient: &span,
      tableGradient: &tableGradient)
    try arguments.write(span.span, shape: file.shape, to: hiddenGradient)
    try arguments.write(
      tableGradient.values, shape: [table.rows, table.dim], to: tokenGradient)
  }
}
