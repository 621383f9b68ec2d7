// `rotate`: queries or keys of a .npy file, rotated by their positions.

internal import EmbedKernel

/// Applies a rotary scheme to a tensor.
enum Rotate: Subcommand {
  static let scheme = Option("scheme", "NAME", "rotary or xpos (default rotary).")
  static let input = Option(
    "input", "NPY",
    "Queries or keys, float32 [batch, heads, context, head dim], or by --order. Needed.")
  static let output = Option("output", "NPY", "Where the rotated ones go, the same shape. Needed.")
  static let order = ChoiceOption<HeadOrder>(
    "order", [("heads-first", .headsFirst), ("context-first", .contextFirst)],
    "Whether heads or tokens are the second dimension (default heads-first).")
  static let direction = ChoiceOption<RotaryDirection>(
    "direction", RotaryDirection.allCases.map { ($0.rawValue, $0) },
    "Backward rotates by the negative angle (default forward).")
  static let positionIDs = Option(
    "position-ids", "NPY", "Positions [batch, context] or [context], integers.")

  static let name = "rotate"
  static let summary = "Queries or keys of a .npy file, rotated by their positions."
  static let usage = ["--input Q.npy --output OUT.npy [OPTIONS]"]
  static let about = [
    "Rotates each pair of elements by its token's position times the pair's frequency."
  ]
  static let groups = [
    OptionGroup(
      "Tensor",
      [
        scheme, input, order.option, direction.option, RotaryOptions.role.option,
        RotaryOptions.offset, positionIDs,
      ]),
    RotaryOptions.group, ComputeOptions.group, OptionGroup("Output", [output]),
  ]

  static func run(_ arguments: Arguments) throws {
    let scheme = try PositionScheme.named(arguments.string(scheme) ?? "rotary")
    guard let rotate = scheme.rotate else {
      throw CommandError.usage("scheme '\(scheme.name)' is not applied to queries or keys")
    }
    guard let source = arguments.string(input) else {
      throw CommandError.usage("--input Q.npy is missing")
    }
    guard let target = arguments.string(output) else {
      throw CommandError.usage("--output OUT.npy is missing")
    }
    let file = try ArrayFile(source)
    var tensor = try file.floats(rank: 4)
    var span = tensor.mutableSpan
    try rotate(arguments, file.shape, &span)
    try NumPyFile.write(span.span, shape: file.shape, to: target)
    Report.standardError.line("\(scheme.name): float32 \(file.shape), '\(target)'")
  }

  /// Where the tokens stand.
  static func place(_ arguments: Arguments, _ shape: RotaryShape) throws -> PositionIDs {
    let offset = try arguments.integer(RotaryOptions.offset, in: 0...Int.max)
    guard let path = arguments.string(positionIDs) else {
      return .sequential(offset: offset ?? 0)
    }
    guard offset == nil else {
      throw CommandError.usage("--position-offset does not fit here: --position-ids says all")
    }
    return .explicit(
      try integers(path, shapes: [[shape.batch, shape.context], [shape.context]]))
  }
}
