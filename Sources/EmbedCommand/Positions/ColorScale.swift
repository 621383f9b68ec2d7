// From numbers to colours: blue below zero, white at zero, red above, in steps that the eye cannot
// tell apart; and the round numbers that stand beside a scale.

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
    return Int((value / max(high, -low) * Float(Self.steps)).rounded())
  }

  /// The colour of a level.
  static func color(level: Int) -> String {
    let share = min(Float(abs(level)) / Float(steps), 1)
    let end: (Float, Float, Float) = level < 0 ? (24, 84, 160) : (170, 20, 40)
    func part(_ end: Float) -> Int { Int((255 + (end - 255) * share).rounded()) }
    return "rgb(\(part(end.0)),\(part(end.1)),\(part(end.2)))"
  }

  /// The colours from the low end to the high one, each with its share of the way.
  var stops: [(share: Double, color: String)] {
    let middle = Double(-low / (high - low))
    var stops: [(share: Double, color: String)] = []
    if low < 0 { stops.append((0, Self.color(level: -Self.steps))) }
    stops.append((middle, Self.color(level: 0)))
    if high > 0 { stops.append((1, Self.color(level: Self.steps))) }
    return stops
  }
}

/// Round numbers along an axis.
struct Ticks {
  /// The distance between them: 1, 2 or 5 times a power of ten.
  let step: Double
  /// How many digits stand after the point.
  let digits: Int

  /// Steps of which at most `most` fit into `length`; whole ones where the axis counts things.
  init(length: Double, most: Int, isWhole: Bool = false) {
    let wanted = length / Double(most)
    var (power, digits) = (1.0, 0)
    while power * 10 <= wanted { power *= 10 }
    while power > wanted, !isWhole, digits < 9 {
      power /= 10
      digits += 1
    }
    let factor = [1.0, 2, 5, 10].first { $0 * power >= wanted * 0.999_999 } ?? 10
    step = factor * power
    // 10 steps of a tenth are whole ones.
    self.digits = factor == 10 ? max(0, digits - 1) : digits
  }

  /// The multiples of the step in `low...high`.
  func values(_ low: Double, _ high: Double) -> [Double] {
    let first = Int((low / step).rounded(.up))
    let last = Int((high / step * 1.000_001).rounded(.down))
    return first > last ? [] : (first...last).map { Double($0) * step }
  }

  /// A value with the digits its step needs, with a real minus sign.
  func label(_ value: Double) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((abs(value) * scale).rounded())
    let (whole, part) = scaled.quotientAndRemainder(dividingBy: Int(scale))
    let sign = value < 0 && scaled != 0 ? "\u{2212}" : ""
    guard digits > 0 else { return "\(sign)\(whole)" }
    let fraction = String(part)
    return "\(sign)\(whole).\(String(repeating: "0", count: digits - fraction.count))\(fraction)"
  }
}
