// A matrix drawn as coloured cells with axes, ticks and a colour bar.

/// A heat map: blue below zero, white at zero, red above; hatched where the value is not finite, and
/// beside the scale what it is there.
struct HeatMap {
  let title: String
  let subtitle: String
  let rowLabel: String
  let columnLabel: String
  /// What the values are, for the colour bar.
  let valueLabel: String
  let rows: Int
  let columns: Int
  /// The numbers of the first row and column.
  let firstRow: Int
  let firstColumn: Int
  let values: [Float]

  /// The most cells along a side; of larger matrices every n-th row and column is drawn.
  static let mostCells = 192

  // The plot's square on the paper.
  private static let side = 640.0
  private static let left = 104.0
  private static let top = 96.0
  private static let (width, height) = (920.0, 830.0)
  private static let barLeft = left + side + 32
  private static let barWidth = 20.0

  /// The drawing.
  var svg: String {
    let scale = ColorScale(values)
    let hatched = hatchedKinds
    var text = """
      <defs>
      <pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" \
      patternTransform="rotate(45)"><rect class="nothing" width="6" height="6"/>\
      <path class="hatch" d="M0 0v6" stroke-width="2"/></pattern>
      <linearGradient id="scale" x1="0" y1="1" x2="0" y2="0">

      """
    for stop in scale.stops {
      text += "<stop offset=\"\(SVG.number(stop.share))\" stop-color=\"\(stop.color)\"/>\n"
    }
    text += "</linearGradient>\n</defs>\n"
    if !hatched.isEmpty {
      text += SVG.square(Self.left, Self.top, Self.side, Self.side, "fill=\"url(#hatch)\"")
    }
    text += cells(scale)
    text += SVG.square(Self.left, Self.top, Self.side, Self.side, "class=\"axis\"")
    return SVG.drawing(
      Self.width, Self.height, left: Self.left, title: title, subtitle: subtitle,
      light: ".hatch { stroke: #9a9aa2 } .nothing { fill: #ececef }",
      dark: ".hatch { stroke: #6b6b74 } .nothing { fill: #2a2b31 }",
      text + axes + bar(scale, hatched: hatched))
  }

  /// One path a colour, in units of cells; neighbours of one colour in a row are one rectangle.
  private func cells(_ scale: ColorScale) -> String {
    let (rowStep, columnStep) = (Self.step(rows), Self.step(columns))
    let (drawnRows, drawnColumns) = (
      (rows + rowStep - 1) / rowStep, (columns + columnStep - 1) / columnStep
    )
    var paths: [Int: String] = [:]
    for row in 0..<drawnRows {
      var column = 0
      while column < drawnColumns {
        func level(_ column: Int) -> Int? {
          scale.level(values[row * rowStep * columns + column * columnStep])
        }
        let (start, found) = (column, level(column))
        repeat { column += 1 } while column < drawnColumns && level(column) == found
        guard let found else { continue }
        paths[found, default: ""] += "M\(start) \(row)h\(column - start)v1H\(start)z"
      }
    }
    var text =
      "<g shape-rendering=\"crispEdges\" transform=\"translate(\(SVG.number(Self.left)) "
      + "\(SVG.number(Self.top))) scale(\(Self.side / Double(drawnColumns)) "
      + "\(Self.side / Double(drawnRows)))\">\n"
    for (level, path) in paths.sorted(by: { $0.key < $1.key }) {
      text += "<path fill=\"\(ColorScale.color(level: level))\" d=\"\(path)\"/>\n"
    }
    return text + "</g>\n"
  }

  /// Every how many-th row or column is drawn.
  static func step(_ count: Int) -> Int { max(1, (count + mostCells - 1) / mostCells) }

  private var axes: String {
    let bottom = Self.top + Self.side
    var text = ""
    for (tick, name) in ticks(columns, from: firstColumn) {
      let x = Self.left + tick * Self.side
      text += SVG.path("axis", x, bottom, "v6")
      text += SVG.label(name, x, bottom + 22, anchor: "middle")
    }
    for (tick, name) in ticks(rows, from: firstRow) {
      let y = Self.top + tick * Self.side
      text += SVG.path("axis", Self.left, y, "h-6")
      text += SVG.label(name, Self.left - 10, y + 5, anchor: "end")
    }
    let middle = Self.top + Self.side / 2
    return text
      + SVG.label(columnLabel, Self.left + Self.side / 2, bottom + 52, anchor: "middle", size: 15)
      + SVG.upright(rowLabel, 28, middle)
  }

  /// Round numbers of an axis, each with its cell's middle as a share of the side.
  private func ticks(_ count: Int, from first: Int) -> [(place: Double, name: String)] {
    let ticks = Ticks(length: Double(count), most: 9, isWhole: true)
    return ticks.values(Double(first), Double(first + count - 1)).map {
      (($0 - Double(first) + 0.5) / Double(count), ticks.label($0))
    }
  }

  /// What is not finite, in words.
  private var hatchedKinds: [String] {
    let kinds: [(String, (Float) -> Bool)] = [
      ("\u{2212}\u{221E}", { $0 == -.infinity }), ("\u{221E}", { $0 == .infinity }),
      ("no number", { $0.isNaN }),
    ]
    return kinds.filter { values.contains(where: $0.1) }.map(\.0)
  }

  private func bar(_ scale: ColorScale, hatched: [String]) -> String {
    // Room below for what is hatched.
    let length = hatched.isEmpty ? Self.side : Self.side - 48
    var text = SVG.square(Self.barLeft, Self.top, Self.barWidth, length, "fill=\"url(#scale)\"")
    text += SVG.square(Self.barLeft, Self.top, Self.barWidth, length, "class=\"axis\"")
    let (low, high) = (Double(scale.low), Double(scale.high))
    let ticks = Ticks(length: high - low, most: 8)
    let right = Self.barLeft + Self.barWidth
    for value in ticks.values(low, high) {
      let y = Self.top + (high - value) / (high - low) * length
      text += SVG.path("axis", right, y, "h6")
      text += SVG.label(ticks.label(value), right + 10, y + 5)
    }
    if !hatched.isEmpty {
      let y = Self.top + Self.side - 20
      text += SVG.square(Self.barLeft, y, Self.barWidth, 20, "fill=\"url(#hatch)\"")
      text += SVG.square(Self.barLeft, y, Self.barWidth, 20, "class=\"axis\"")
      for (line, kind) in hatched.enumerated() {
        text += SVG.label(kind, right + 10, y + 15 + 18 * Double(line))
      }
    }
    return text + SVG.upright(valueLabel, Self.width - 24, Self.top + length / 2)
  }
}
