// A matrix drawn as coloured cells with axes, ticks and a colour bar, in SVG.

/// A heat map: blue below zero, white at zero, red above.
struct HeatMap {
  let title: String
  let rowLabel: String
  let columnLabel: String
  let rows: Int
  let columns: Int
  /// The number of the first row.
  let firstRow: Int
  let values: [Float]

  /// The most cells along a side; of larger matrices every n-th row and column is drawn.
  private static let mostCells = 192
  private static let side = 640.0
  private static let left = 96.0
  private static let top = 64.0

  /// The drawing.
  var svg: String {
    let (rowStep, columnStep) = (step(rows), step(columns))
    let (drawnRows, drawnColumns) = (
      (rows + rowStep - 1) / rowStep, (columns + columnStep - 1) / columnStep
    )
    let (width, height) = (Self.side / Double(drawnColumns), Self.side / Double(drawnRows))
    let largest = values.reduce(Float.leastNormalMagnitude) {
      $1.isFinite ? max($0, abs($1)) : $0
    }
    var text = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 880 800" font-family="sans-serif" \
      font-size="14">
      <rect width="880" height="800" fill="white"/>
      <text x="\(number(Self.left))" y="36" font-size="20">\(escaped(title))</text>
      <g shape-rendering="crispEdges">

      """
    for row in 0..<drawnRows {
      for column in 0..<drawnColumns {
        let value = values[row * rowStep * columns + column * columnStep]
        text +=
          "<rect x=\"\(number(Self.left + Double(column) * width))\" "
          + "y=\"\(number(Self.top + Double(row) * height))\" width=\"\(number(width))\" "
          + "height=\"\(number(height))\" fill=\"\(color(value / largest))\"/>\n"
      }
    }
    text += "</g>\n"
    let side = number(Self.side)
    text +=
      "<rect x=\"\(number(Self.left))\" y=\"\(number(Self.top))\" width=\"\(side)\" "
      + "height=\"\(side)\" fill=\"none\" stroke=\"black\"/>\n"
    text += ticks(largest)
    return text + "</svg>\n"
  }

  private func step(_ count: Int) -> Int {
    max(1, (count + Self.mostCells - 1) / Self.mostCells)
  }

  private func ticks(_ largest: Float) -> String {
    let bottom = Self.top + Self.side
    var text = ""
    for tick in places(columns) {
      let x = Self.left + (Double(tick) + 0.5) / Double(columns) * Self.side
      text +=
        "<text x=\"\(number(x))\" y=\"\(number(bottom + 20))\" text-anchor=\"middle\">\(tick)</text>\n"
    }
    for tick in places(rows) {
      let y = Self.top + (Double(tick) + 0.5) / Double(rows) * Self.side + 5
      text +=
        "<text x=\"\(number(Self.left - 8))\" y=\"\(number(y))\" "
        + "text-anchor=\"end\">\(firstRow + tick)</text>\n"
    }
    let middle = Self.top + Self.side / 2
    text +=
      "<text x=\"\(number(Self.left + Self.side / 2))\" y=\"\(number(bottom + 48))\" "
      + "text-anchor=\"middle\">\(escaped(columnLabel))</text>\n"
      + "<text x=\"24\" y=\"\(number(middle))\" text-anchor=\"middle\" "
      + "transform=\"rotate(-90 24 \(number(middle)))\">\(escaped(rowLabel))</text>\n"
    // The colour bar, from the largest size down to its negative.
    for i in 0..<64 {
      text +=
        "<rect x=\"760\" y=\"\(number(Self.top + Double(i) * 5))\" width=\"20\" height=\"5.5\" "
        + "fill=\"\(color(1 - Float(i) / 31.5))\"/>\n"
    }
    for (share, y) in [(Float(1), 8.0), (0, 164), (-1, 320)] {
      text +=
        "<text x=\"786\" y=\"\(number(Self.top + y))\">\(rounded(share * largest))</text>\n"
    }
    return text
  }

  /// About eight round places.
  private func places(_ count: Int) -> [Int] {
    var step = 1
    let factors = [2, 5, 10]
    var power = 1
    while (count + step - 1) / step > 9 {
      let next = factors.first { $0 * power > step } ?? 10
      step = next * power
      if next == 10 { power *= 10 }
    }
    return Array(stride(from: 0, to: count, by: step))
  }

  private func color(_ share: Float) -> String {
    guard share.isFinite else { return "#808080" }
    let distance = min(abs(share), 1)
    let end: (Float, Float, Float) = share < 0 ? (33, 102, 172) : (178, 24, 43)
    let parts = [end.0, end.1, end.2].map { Int((255 + ($0 - 255) * distance).rounded()) }
    return "rgb(\(parts[0]),\(parts[1]),\(parts[2]))"
  }

  private func number(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

  private func rounded(_ value: Float) -> String {
    let scale: Float = abs(value) < 10 ? 100 : 1
    return "\((value * scale).rounded() / scale)"
  }

  private func escaped(_ text: String) -> String {
    text.reduce(into: "") { result, character in
      switch character {
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "&": result += "&amp;"
      default: result.append(character)
      }
    }
  }
}
