// `plot`: a scheme's values as a heat map, to an .svg file.

internal import EmbedKernel

/// Draws what a scheme computes.
enum Plot: Subcommand {
  static let output = Option("output", "SVG", "Where the drawing goes. Needed.")
  static let plane = Option(
    "plane", "N|NAME",
    "Which plane of the first dimension: a head, or angle, cosine or sine (default: the first head, "
      + "or cosine).")

  static let name = "plot"
  static let summary = "A heat map of a position scheme, to an .svg file."
  static let usage = ["SCHEME --output FILE.svg [OPTIONS]"]
  static let about =
    ["Draws position by pair for rotary schemes and query by key for biases."]
    + PositionScheme.list
  static let operandNames = ["SCHEME"]
  static let groups = [
    OptionGroup("Sizes", [RotaryOptions.context, RotaryOptions.offset]), RotaryOptions.group,
    BiasOptions.group, OptionGroup("Output", [plane, output]),
  ]

  static func run(_ arguments: Arguments) throws {
    guard let path = arguments.string(output) else {
      throw CommandError.usage("--output FILE.svg is missing")
    }
    let name = arguments.operands[0]
    let array = try PositionScheme.named(name).array(arguments)
    let plane = try plane(arguments, array)
    let (rows, columns) = (array.shape[array.shape.count - 2], array.shape[array.shape.count - 1])
    let first = plane * rows * columns
    let title =
      array.planes.isEmpty ? "\(name), head \(plane)" : "\(name), \(array.planes[plane])"
    let map = HeatMap(
      title: title, rowLabel: array.rows, columnLabel: array.columns, rows: rows,
      columns: columns,
      firstRow: try arguments.integer(RotaryOptions.offset, in: 0...Int.max) ?? 0,
      values: Array(array.values[first..<first + rows * columns]))
    try TextFile.write(map.svg, to: path)
    Report.standardError.line("\(title): [\(rows), \(columns)], '\(path)'")
  }

  private static func plane(_ arguments: Arguments, _ array: SchemeArray) throws -> Int {
    let count = array.shape.dropLast(2).reduce(1, *)
    guard let text = arguments.string(plane) else {
      return array.planes.firstIndex(of: "cosine") ?? 0
    }
    if let index = array.planes.firstIndex(of: text) { return index }
    guard let index = Int(text), index >= 0, index < count else {
      throw CommandError.usage("option --plane: '\(text)' is not one of \(count) planes")
    }
    return index
  }
}
