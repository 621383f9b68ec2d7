// A drawing as SVG text: its frame, and the elements that it is made of. Dark on light, or light on dark
// where the reader's system asks for that.

/// Elements of an SVG drawing, a line each.
enum SVG {
  /// A whole drawing: its title, for those too who do not see it, a line below, and the elements.
  ///
  /// - Parameters:
  ///   - light: The rules of the elements' own classes; paper, words and axes have theirs.
  ///   - dark: What is other on dark paper.
  static func drawing(
    _ width: Double, _ height: Double, left: Double, title: String, subtitle: String,
    light: String, dark: String, _ elements: String
  ) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(width)) \
    \(number(height))" font-family="system-ui, sans-serif" font-size="14">
    <title>\(escaped(title)): \(escaped(subtitle))</title>
    <style>
    .paper { fill: #ffffff } text { fill: #1b1b1f } .quiet { fill: #55555c }
    .axis { fill: none; stroke: #1b1b1f } \(light)
    @media (prefers-color-scheme: dark) {
    .paper { fill: #17181c } text { fill: #ececf0 } .quiet { fill: #a9a9b2 }
    .axis { stroke: #ececf0 } \(dark)
    }
    </style>
    \(square(0, 0, width, height, "class=\"paper\""))\
    \(label(title, left, 42, size: 21))\(label(subtitle, left, 68, kind: "quiet"))\
    \(elements)</svg>

    """
  }

  /// Words whose place is their start, middle or end on the base line.
  static func label(
    _ text: String, _ x: Double, _ y: Double, anchor: String = "start", size: Int? = nil,
    kind: String? = nil
  ) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"\(anchor)\""
      + (size.map { " font-size=\"\($0)\"" } ?? "") + (kind.map { " class=\"\($0)\"" } ?? "")
      + ">\(escaped(text))</text>\n"
  }

  /// Words that are read from below.
  static func upright(_ text: String, _ x: Double, _ y: Double) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" text-anchor=\"middle\" font-size=\"15\" "
      + "transform=\"rotate(-90 \(number(x)) \(number(y)))\">\(escaped(text))</text>\n"
  }

  /// A rectangle.
  static func square(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ look: String
  ) -> String {
    "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" "
      + "height=\"\(number(height))\" \(look)/>\n"
  }

  /// A line from a point on, drawn as its class says.
  static func path(_ kind: String, _ x: Double, _ y: Double, _ course: String) -> String {
    "<path class=\"\(kind)\" d=\"M\(number(x)) \(number(y))\(course)\"/>\n"
  }

  /// A coordinate, to a thousandth; what is far off any paper stays at its edge.
  static func number(_ value: Double) -> String {
    let rounded = (min(max(value, -farthest), farthest) * 1_000).rounded() / 1_000
    return Int(exactly: rounded).map { "\($0)" } ?? "\(rounded)"
  }

  private static let farthest = 1e6

  /// Text that may stand between tags.
  static func escaped(_ text: String) -> String {
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
