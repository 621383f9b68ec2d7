// Lines over a common axis with ticks, labels and a legend.

/// A chart of lines.
package struct LineChart {
  /// A line and how it looks.
  package struct Series {
    /// How a line is drawn.
    package enum Look: String {
      /// Thin and pale: a course that jitters.
      case faint
      /// Thick, with a dot on each point while they are few.
      case strong
    }

    package let name: String
    package let look: Look
    package let points: [(x: Double, y: Double)]

    package init(_ name: String, _ look: Look, _ points: [(x: Double, y: Double)]) {
      self.name = name
      self.look = look
      self.points = points
    }
  }

  package let title: String
  package let subtitle: String
  package let xLabel: String
  package let yLabel: String
  package let series: [Series]

  package init(
    title: String, subtitle: String, xLabel: String, yLabel: String, series: [Series]
  ) {
    self.title = title
    self.subtitle = subtitle
    self.xLabel = xLabel
    self.yLabel = yLabel
    self.series = series
  }

  /// The most points of a line; of more, means of neighbours are drawn.
  package static let mostPoints = 400
  /// The most points that get a dot each.
  private static let mostDots = 60

  private static let (width, height) = (920.0, 560.0)
  private static let (left, top) = (92.0, 96.0)
  private static let (plotWidth, plotHeight) = (796.0, 388.0)

  /// The drawing. A line is broken where a point has no place on paper, and the subtitle tells of it.
  package var svg: String {
    let lines = series.map { Self.stretches($0.points) }
    let points = lines.joined().joined()
    let lost = series.flatMap(\.points).filter { !Self.isDrawn($0) }.count
    let subtitle =
      lost == 0
      ? self.subtitle
      : self.subtitle + "; \(plural(lost, "point")) not drawn, having no finite place"
    let xAxis = Axis(points.map(\.x), most: 9, isWhole: true)
    let yAxis = Axis(points.map(\.y), most: 7, isWhole: false)
    var text = axes(xAxis, yAxis)
    for (series, stretches) in zip(series, lines) {
      for points in stretches {
        let places = points.map { (Self.x(xAxis.share($0.x)), Self.y(yAxis.share($0.y))) }
        text += line(places, series.look)
      }
    }
    return SVG.drawing(
      Self.width, Self.height, left: Self.left, title: title, subtitle: subtitle,
      light: """
        .grid { fill: none; stroke: #e3e3e8 }
        .faint { fill: none; stroke: #7d9cc6; stroke-width: 1.5; stroke-linejoin: round }
        .strong { fill: none; stroke: #b4431a; stroke-width: 2.5; stroke-linejoin: round }
        .dot { fill: #b4431a }
        """,
      dark: """
        .grid { stroke: #33343b }
        .faint { stroke: #6f93c4 } .strong { stroke: #f08a5d } .dot { fill: #f08a5d }
        """, text + legend)
  }

  /// Whether a point has a place: numbers near the end of what a Double holds have no axis.
  private static func isDrawn(_ point: (x: Double, y: Double)) -> Bool {
    abs(point.x) < 1e300 && abs(point.y) < 1e300
  }

  /// The points between those without a place, and means of neighbours where there are too many.
  private static func stretches(
    _ points: [(x: Double, y: Double)]
  ) -> [[(x: Double, y: Double)]] {
    let size = (points.count + mostPoints - 1) / mostPoints
    return points.split { !isDrawn($0) }.map { points in
      guard size > 1 else { return Array(points) }
      return stride(from: points.startIndex, to: points.endIndex, by: size).map { start in
        let group = points[start..<min(start + size, points.endIndex)]
        let share = 1 / Double(group.count)
        return (group.reduce(0) { $0 + $1.x * share }, group.reduce(0) { $0 + $1.y * share })
      }
    }
  }

  private static func x(_ share: Double) -> Double { left + share * plotWidth }
  private static func y(_ share: Double) -> Double { top + (1 - share) * plotHeight }

  private func axes(_ xAxis: Axis, _ yAxis: Axis) -> String {
    let bottom = Self.top + Self.plotHeight
    var text = ""
    for value in xAxis.values {
      let x = Self.x(xAxis.share(value))
      text += SVG.path("axis", x, bottom, "v6")
      text += SVG.label(xAxis.ticks.label(value), x, bottom + 24, anchor: "middle")
    }
    for value in yAxis.values {
      let y = Self.y(yAxis.share(value))
      text += SVG.path("grid", Self.left, y, "h\(SVG.number(Self.plotWidth))")
      text += SVG.label(yAxis.ticks.label(value), Self.left - 12, y + 5, anchor: "end")
    }
    text += SVG.path(
      "axis", Self.left, Self.top, "V\(SVG.number(bottom))h\(SVG.number(Self.plotWidth))")
    text += SVG.label(
      xLabel, Self.left + Self.plotWidth / 2, bottom + 56, anchor: "middle", size: 15)
    return text + SVG.upright(yLabel, 30, Self.top + Self.plotHeight / 2)
  }

  private func line(_ places: [(x: Double, y: Double)], _ look: Series.Look) -> String {
    let course = places.dropFirst().map { "L\(SVG.number($0.x)) \(SVG.number($0.y))" }
    // Of a single point there is no line to see.
    var text =
      places.count > 1
      ? SVG.path(look.rawValue, places[0].x, places[0].y, course.joined()) : ""
    if places.count == 1 || look == .strong && places.count <= Self.mostDots {
      for place in places {
        text +=
          "<circle class=\"dot\" cx=\"\(SVG.number(place.x))\" cy=\"\(SVG.number(place.y))\" r=\"4\"/>\n"
      }
    }
    return text
  }

  /// A sample of each line with its name, in the upper right corner of the plot.
  private var legend: String {
    var text = ""
    for (index, series) in series.enumerated() {
      let y = Self.top + 24 + 24 * Double(index)
      let x = Self.left + Self.plotWidth - 150
      text += SVG.path(series.look.rawValue, x, y, "h34")
      text += SVG.label(series.name, x + 44, y + 5)
    }
    return text
  }
}

/// An axis from a round number to a round number.
private struct Axis {
  let ticks: Ticks
  private let low: Double
  private let high: Double

  /// The axis that holds all numbers.
  init(_ numbers: [Double], most: Int, isWhole: Bool) {
    let least = numbers.min() ?? 0
    let greatest = numbers.max() ?? 1
    // Not so short that steps are lost in the numbers they are added to.
    let length = max(
      greatest > least ? greatest - least : 1, 1e-12 * max(abs(least), abs(greatest)))
    ticks = Ticks(length: length, most: most, isWhole: isWhole)
    low = (least / ticks.step).rounded(.down) * ticks.step
    let end = (greatest / ticks.step).rounded(.up) * ticks.step
    high = end > low ? end : low + ticks.step
  }

  /// The round numbers.
  var values: [Double] { ticks.values(low, high) }

  /// Where a number lies between the ends.
  func share(_ value: Double) -> Double { (value - low) / (high - low) }
}
