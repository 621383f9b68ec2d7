// The schemes that `positions`, `rotate` and `plot` know: a scheme is a file of this folder with a
// static member, and one line in `all`.

internal import EmbedKernel

/// An array of a scheme's values, with what its last two dimensions are.
struct SchemeArray {
  var shape: [Int]
  var values: [Float]
  /// What the rows and the columns are, for a drawing.
  var rows = "query"
  var columns = "key"
  /// What the values are, with their unit.
  var unit = "added to the attention logit"
  /// The planes of the first dimension, if it is not heads.
  var planes: [Plane] = []

  /// A plane's name, and what its values are.
  struct Plane {
    var name: String
    var unit: String
  }

  /// Whether the columns stand for positions as the rows do.
  var columnsArePositions: Bool { columns == "key" }
}

/// A position scheme as the command offers it.
struct PositionScheme: Sendable {
  let name: String
  /// One line for the help.
  let summary: String
  /// Computes the values that `positions` writes and `plot` draws.
  let array: @Sendable (Arguments) throws -> SchemeArray
  /// The rotation of heads of a dim, where the scheme is one that is applied to queries or keys.
  var rotation: (@Sendable (Arguments, Int) throws -> RotaryEmbedding)?

  /// One line a scheme.
  static let all: [PositionScheme] =
    absolute + [.rotary, .xpos] + biases + contentBiases

  /// The scheme named `name`.
  static func named(_ name: String) throws(CommandError) -> PositionScheme {
    if let found = all.first(where: { $0.name == name }) { return found }
    let names = all.map(\.name)
    throw .usage(
      "scheme '\(name)' is none of \(names.joined(separator: ", "))\(hint(for: name, among: names))"
    )
  }

  /// Their lines for the help.
  static let list = all.map { "\($0.name): \($0.summary)" }

  /// What a scheme may be told.
  static let groups = [
    OptionGroup("Sizes", [RotaryOptions.context, RotaryOptions.offset]), AbsoluteOptions.group,
    RotaryOptions.group, BiasOptions.group,
  ]
}
