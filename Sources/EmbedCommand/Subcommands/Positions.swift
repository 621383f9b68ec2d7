// `positions`: the values of a position scheme, to a .npy file.

internal import EmbedKernel

/// Writes what a scheme computes.
enum Positions: Subcommand {
  static let output = Option(
    "output", .array, "Where the values go, float32", needed: "OUT.npy")

  static let name = "positions"
  static let summary = "The values of a position scheme, to a .npy file."
  static let usage = ["SCHEME --output OUT.npy [OPTIONS]"]
  static let about =
    ["Computes the scheme's values for the given sizes, for checks by other programs."]
    + PositionScheme.list
  static let operandNames = ["SCHEME"]
  static let groups = PositionScheme.groups + [OptionGroup("Output", [output])]

  static func run(_ arguments: Arguments) throws {
    let path = try arguments[output]
    let array = try PositionScheme.named(arguments.operands[0]).array(arguments)
    try NumPyFile.write(array.values.span, shape: array.shape, to: path)
    Report.standardError.line("\(arguments.operands[0]): float32 \(array.shape), '\(path)'")
  }
}
