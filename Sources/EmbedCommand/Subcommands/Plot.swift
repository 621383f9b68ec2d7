// `plot`: a scheme's values as a heat map, to an .svg file.

internal import EmbedKernel

/// Draws what a scheme computes.
enum Plot: Subcommand {
  static let output = Option(
    "output", .text("SVG"), "Where the drawing goes", needed: "FILE.svg")
  static let plane = Option(
    "plane", .text("N|NAME"),
    "Which plane of the first dimension: a head, or angle, cosine or sine",
    otherwise: "the first head, or cosine")

  static let name = "plot"
  static let summary = "A heat map of a position scheme, to an .svg file."
  static let usage = ["SCHEME --output FILE.svg [OPTIONS]"]
  static let about =
    [
      "Draws position by element for absolute schemes, position by pair for rotary ones and query by "
        + "key for biases: blue below zero, white at zero, red above, hatched where it is masked."
    ]
    + PositionScheme.list
  static let operandNames = ["SCHEME"]
  static let groups = PositionScheme.groups + [OptionGroup("Output", [plane, output])]

  static func run(_ arguments: Arguments) throws {
    let path = try arguments[output]
    let name = arguments.operands[0]
    let array = try PositionScheme.named(name).array(arguments)
    let plane = try plane(arguments, array)
    let (rows, columns) = (array.shape[array.shape.count - 2], array.shape[array.shape.count - 1])
    let first = plane * rows * columns
    let offset = try arguments[RotaryOptions.offset]
    var title = name
    if !array.planes.isEmpty {
      title += ", \(array.planes[plane].name)"
    } else if array.shape.count > 2 {
      title += ", head \(plane) of \(array.shape.dropLast(2).reduce(1, *))"
    }
    let map = HeatMap(
      title: title, subtitle: subtitle(array, rows, columns), rowLabel: array.rows,
      columnLabel: array.columns,
      valueLabel: array.planes.isEmpty ? array.unit : array.planes[plane].unit, rows: rows,
      columns: columns, firstRow: offset, firstColumn: array.columnsArePositions ? offset : 0,
      values: Array(array.values[first..<first + rows * columns]))
    try TextFile.write(map.svg, to: path)
    Report.standardError.line("\(title): [\(rows), \(columns)], '\(path)'")
  }

  /// The sizes, and what a drawing of limited cells leaves out.
  private static func subtitle(_ array: SchemeArray, _ rows: Int, _ columns: Int) -> String {
    func plural(_ name: String, _ count: Int) -> String {
      let many = name == "query" ? "queries" : name + "s"
      return "\(count) \(count == 1 ? name : many)"
    }
    var text = "\(plural(array.rows, rows)) \u{D7} \(plural(array.columns, columns))"
    for (name, count) in [(array.rows, rows), (array.columns, columns)] {
      let step = HeatMap.step(count)
      if step > 1 { text += "; one \(name) in \(step) is drawn" }
    }
    return text
  }

  private static func plane(_ arguments: Arguments, _ array: SchemeArray) throws -> Int {
    let count = array.shape.dropLast(2).reduce(1, *)
    guard let text = try arguments[plane] else {
      return array.planes.firstIndex { $0.name == "cosine" } ?? 0
    }
    if let index = array.planes.firstIndex(where: { $0.name == text }) { return index }
    guard let index = Int(text), index >= 0, index < count else {
      throw CommandError.usage("option --plane: '\(text)' is not one of \(count) planes")
    }
    return index
  }
}
