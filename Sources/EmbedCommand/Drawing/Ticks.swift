// The round numbers that stand along an axis or a scale, whatever finite numbers those reach over.

/// Round numbers along an axis.
package struct Ticks {
  /// The distance between them: 1, 2 or 5 times a power of ten.
  package let step: Double
  /// How many digits stand after the point.
  private let digits: Int
  /// What the step is a multiple of, as a power of ten.
  private let exponent: Int
  private let factor: Double

  /// Steps of which at most `most` fit into `length`; whole ones where the axis counts things.
  ///
  /// - Parameter length: Above 0 and finite; else it counts as 1.
  package init(length: Double, most: Int, isWhole: Bool = false) {
    let wanted = (length > 0 && length.isFinite ? length : 1) / Double(most)
    var (power, exponent) = (1.0, 0)
    while power * 10 <= wanted {
      power *= 10
      exponent += 1
    }
    while power > wanted, !isWhole, exponent > Self.leastExponent {
      power /= 10
      exponent -= 1
    }
    let factor = [1.0, 2, 5, 10].first { $0 * power >= wanted * 0.999_999 } ?? 10
    step = factor * power
    self.exponent = exponent
    self.factor = factor
    // 10 steps of a tenth are whole ones.
    digits = max(0, factor == 10 ? -exponent - 1 : -exponent)
  }

  /// Below it powers of ten are no longer exact enough to be added up.
  private static let leastExponent = -300

  /// The multiples of the step in `low...high`, in rising order.
  package func values(_ low: Double, _ high: Double) -> [Double] {
    let first = (low / step - 1e-6).rounded(.up)
    let count = (high / step + 1e-6).rounded(.down) - first
    // Where the numbers are so large that steps between them are lost there is nothing to tell apart.
    guard count >= 0, count <= 1_000, abs(first) < 0x1p53 else { return [] }
    return (0...Int(saturating: count)).map { (first + Double($0)) * step }
  }

  /// A value with the digits its step needs, with a real minus sign; by a power of ten where it would
  /// be all zeros.
  package func label(_ value: Double) -> String {
    let sign = value < 0 ? "\u{2212}" : ""
    guard exponent >= -6, abs(value) < 1e15 else { return sign + scientific(abs(value)) }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int(saturating: (abs(value) * scale).rounded())
    let (whole, part) = scaled.quotientAndRemainder(dividingBy: Int(saturating: scale))
    guard scaled != 0 else { return "0" + (digits > 0 ? "." : "") + zeros(digits) }
    guard digits > 0 else { return "\(sign)\(whole)" }
    let fraction = String(part)
    return "\(sign)\(whole).\(zeros(digits - fraction.count))\(fraction)"
  }

  private func zeros(_ count: Int) -> String { String(repeating: "0", count: count) }

  /// Such as 2.5e20: a multiple of the step has few digits.
  private func scientific(_ value: Double) -> String {
    var number = String(Int(saturating: (value / step).rounded() * factor))
    let power = exponent + number.count - 1
    while number.count > 1, number.last == "0" { number.removeLast() }
    guard number != "0" else { return "0" }
    return number.prefix(1) + (number.count > 1 ? "." + number.dropFirst() : "") + "e\(power)"
  }
}
