// From numbers to colours: blue below zero, white at zero, red above, in steps that the eye cannot
// tell apart.

/// The colours of a range of values.
struct ColorScale {
  /// The ends; 0 is one of them or halfway.
  let low: Float
  let high: Float

  /// The scale for finite values of `values`: as far below zero as above, unless they are all on one
  /// side.
  init(_ values: [Float]) {
    var (low, high): (Float, Float) = (0, 0)
    for value in values where value.isFinite { (low, high) = (min(low, value), max(high, value)) }
    if low < 0, high > 0 { (low, high) = (min(low, -high), max(high, -low)) }
    if low == high { high = 1 }
    self.low = low
    self.high = high
  }

  /// Steps between white and the strongest colour.
  private static let steps = 48

  /// A number for each colour, negative below zero; nil for what is not finite.
  func level(_ value: Float) -> Int? {
    guard value.isFinite else { return nil }
    return Int(saturating: (Double(value) / Double(max(high, -low)) * Double(Self.steps)).rounded())
  }

  /// The colour of a level.
  static func color(level: Int) -> String {
    let share = min(Float(abs(level)) / Float(steps), 1)
    let end: (Float, Float, Float) = level < 0 ? (24, 84, 160) : (170, 20, 40)
    func part(_ end: Float) -> Int {
      Int(saturating: Double(255 + (end - 255) * share).rounded())
    }
    return "rgb(\(part(end.0)),\(part(end.1)),\(part(end.2)))"
  }

  /// The colours from the low end to the high one, each with its share of the way.
  var stops: [(share: Double, color: String)] {
    // In Double, as the two ends of Float are further apart than any Float.
    let middle = -Double(low) / (Double(high) - Double(low))
    var stops: [(share: Double, color: String)] = []
    if low < 0 { stops.append((0, Self.color(level: -Self.steps))) }
    stops.append((middle, Self.color(level: 0)))
    if high > 0 { stops.append((1, Self.color(level: Self.steps))) }
    return stops
  }
}
