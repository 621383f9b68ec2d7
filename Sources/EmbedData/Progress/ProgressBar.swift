// One line on standard error that tells how far long work has come, how fast it goes and when it
// ends. Only on a terminal that can redraw a line: elsewhere it is silent, so logs stay clean.

internal import CSystem

/// A progress line for work of a known or unknown length.
///
/// Redrawn ten times a second at most; an update between costs a clock reading.
public final class ProgressBar {
  /// What is counted.
  public enum Unit: Sendable {
    /// Bytes, shown in kB, MB or GB.
    case bytes
    /// Items of this name, shown in thousands or millions.
    case items(String)
  }

  private let label: String
  private let total: Int?
  private let unit: Unit
  private let first: Int
  private let style: Style?
  private let start = ContinuousClock.now
  private var drawn: ContinuousClock.Instant?

  /// How a terminal is drawn on.
  package struct Style: Sendable, Equatable {
    package var columns: Int
    package var hasColor: Bool

    package init(columns: Int, hasColor: Bool) {
      self.columns = columns
      self.hasColor = hasColor
    }

    /// The style for a stream, or nil where nothing should be drawn: not on a terminal, or on one
    /// that can't move back (`TERM` unset or `dumb`). `NO_COLOR`, unless empty, asks for no color.
    package init?(isTerminal: Bool, term: String?, noColor: String?, columns: Int) {
      guard isTerminal, let term, term != "dumb", !term.isEmpty else { return nil }
      self.init(columns: columns > 0 ? columns : 80, hasColor: noColor?.isEmpty ?? true)
    }
  }

  /// Starts the clock; draws nothing yet.
  ///
  /// - Parameters:
  ///   - label: A few words in front.
  ///   - total: Where `completed` will end, or nil if that isn't known.
  ///   - unit: What is counted.
  ///   - first: What was done before, by work that goes on now; the rate counts from there.
  public init(label: String, total: Int?, unit: Unit = .bytes, startingAt first: Int = 0) {
    self.label = label
    self.total = total.flatMap { $0 > 0 ? $0 : nil }
    self.unit = unit
    self.first = first
    style = Style(
      isTerminal: isatty(2) == 1, term: environment("TERM"), noColor: environment("NO_COLOR"),
      columns: Int(cs_terminal_columns(2)))
  }

  /// Whether updates are drawn; else a log may tell of what they would have shown.
  public var isDrawn: Bool { style != nil }

  /// Tells how much is done.
  ///
  /// - Parameter note: A few words behind, asked for where a line is drawn.
  public func update(completed: Int, note: @autoclosure () -> String? = nil) {
    guard let style else { return }
    let now = ContinuousClock.now
    if let drawn, now - drawn < .milliseconds(100) { return }
    drawn = now
    let line = Self.line(
      label: label, completed: completed, total: total, unit: unit, first: first,
      elapsed: now - start, note: note(), style: style)
    writeToStandardError("\r\u{1B}[2K" + line)
  }

  /// Removes the line. Call it at the end, also of work that failed.
  public func finish() {
    guard drawn != nil else { return }
    drawn = nil
    writeToStandardError("\r\u{1B}[2K")
  }

  deinit { finish() }

  /// The text of the line.
  package static func line(
    label: String, completed: Int, total: Int?, unit: Unit, first: Int = 0, elapsed: Duration,
    note: String? = nil, style: Style
  ) -> String {
    let seconds = elapsed / .seconds(1)
    let rate = seconds > 0 ? Double(completed - first) / seconds : 0
    let count = quantity(Double(completed), unit)
    var facts = quantity(rate, unit) + "/s"
    let note = note.map { ", " + $0 } ?? ""
    guard let total else {
      return String("\(label) \(count), \(facts)\(note)".prefix(style.columns - 1))
    }
    let fraction = min(1, max(0, Double(completed) / Double(total)))
    if rate > 0, completed < total {
      facts += ", " + time(Double(total - completed) / rate) + " left"
    }
    facts += note
    let percent = "\(Int(saturating: fraction * 100))%"
    let counted = "\(count) of \(quantity(Double(total), unit)), \(facts)"
    let room = style.columns - 1 - label.count - percent.count - 5
    // What the percentage tells already goes first.
    let shown = room - counted.count >= leastBar ? counted : facts
    guard room - shown.count >= leastBar else {
      return String("\(label) \(percent) \(shown)".prefix(style.columns - 1))
    }
    let width = min(room - shown.count, 40)
    let full = Int(saturating: fraction * Double(width))
    let bar = String(repeating: "#", count: full)
    let rest = String(repeating: ".", count: width - full)
    let colored = style.hasColor ? "\u{1B}[32m\(bar)\u{1B}[0m" : bar
    return "\(label) [\(colored)\(rest)] \(percent) \(shown)"
  }

  /// A shorter bar tells nothing.
  private static let leastBar = 8

  private static func quantity(_ value: Double, _ unit: Unit) -> String {
    let (names, suffix) =
      switch unit {
      case .bytes: ([" B", " kB", " MB", " GB", " TB"], "")
      case .items(let name): (["", " k", " M", " G", " T"], " " + name)
      }
    var value = value
    var scale = 0
    while value >= 999.95, scale + 1 < names.count {
      value /= 1000
      scale += 1
    }
    let tenths = Int(saturating: (value * 10).rounded())
    let number =
      scale == 0 ? "\(Int(saturating: value.rounded()))" : "\(tenths / 10).\(tenths % 10)"
    return number + names[scale] + suffix
  }

  private static func time(_ seconds: Double) -> String {
    // Beyond a hundred hours nobody waits for the seconds; the bound also keeps Int in range.
    let whole = Int(saturating: min(seconds, 359_999).rounded(.up))
    let parts = [whole / 3600, whole / 60 % 60, whole % 60]
    let texts = parts.map { $0 < 10 ? "0\($0)" : "\($0)" }
    return parts[0] > 0 ? texts.joined(separator: ":") : texts[1...].joined(separator: ":")
  }
}

private func writeToStandardError(_ text: String) {
  let bytes = Array(text.utf8)
  // A progress line that can't be drawn is no reason to fail.
  _ = unsafe bytes.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
}
