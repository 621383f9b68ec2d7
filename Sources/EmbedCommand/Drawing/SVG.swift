// The elements that drawings are made of, as text.

/// Elements of an SVG drawing, a line each.
enum SVG {
  /// The tag that a drawing begins with, and its title for those who do not see it.
  static func opening(
    _ width: Double, _ height: Double, title: String, subtitle: String
  ) -> String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(number(width)) \
    \(number(height))" font-family="system-ui, sans-serif" font-size="14">
    <title>\(escaped(title)): \(escaped(subtitle))</title>

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
