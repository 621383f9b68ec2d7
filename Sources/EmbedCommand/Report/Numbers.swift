// Numbers as people read them, with units. Kept clear of Foundation, which would cost the command
// a good part of its start-up time.

internal import EmbedKernel

/// `value` with `digits` digits after the point.
package func fixed(_ value: Double, _ digits: Int) -> String {
  guard value.isFinite else { return value.legible }
  var power = 1.0
  for _ in 0..<digits { power *= 10 }
  let scaled = (abs(value) * power).rounded()
  guard scaled < 1e18 else { return "\(value)" }
  var text = String(Int(saturating: scaled))
  if digits > 0 {
    text = String(repeating: "0", count: max(0, digits + 1 - text.count)) + text
    text.insert(".", at: text.index(text.endIndex, offsetBy: -digits))
  }
  return value < 0 && scaled > 0 ? "-" + text : text
}

/// `value` with three significant digits, for a value of 0.001 or more.
private func threeDigits(_ value: Double) -> String {
  fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
}

/// A number of bytes, in kB, MB or GB of 1000.
package func formatted(bytes count: Int) -> String {
  if count < 1000 { return "\(count) B" }
  let (value, unit) = scaled(Double(count), by: 1000, from: 999.5, ["B", "kB", "MB", "GB", "TB"])
  return "\(threeDigits(value)) \(unit)"
}

/// A number of bytes, in the units of 1024 that memory is sold in.
package func formatted(memory count: Int) -> String {
  let (value, unit) = scaled(
    Double(count), by: 1024, from: 1024, ["B", "KiB", "MiB", "GiB", "TiB"])
  return "\(fixed(value, value == value.rounded() ? 0 : 1)) \(unit)"
}

/// `value` in the unit that leaves it below `limit`.
private func scaled(
  _ value: Double, by factor: Double, from limit: Double, _ units: [String]
) -> (value: Double, unit: String) {
  var (value, unit) = (value, 0)
  while value >= limit, unit + 1 < units.count {
    value /= factor
    unit += 1
  }
  return (value, units[unit])
}

/// A time, in ns, µs, ms or s.
package func formatted(seconds: Double) -> String {
  if seconds < 1e-6 { return "\(threeDigits(seconds * 1e9)) ns" }
  if seconds < 1e-3 { return "\(threeDigits(seconds * 1e6)) µs" }
  if seconds < 1 { return "\(threeDigits(seconds * 1e3)) ms" }
  return "\(threeDigits(seconds)) s"
}

/// A rate of bytes.
package func formatted(bytes: Int, in seconds: Double) -> String {
  "\(threeDigits(Double(bytes) / seconds / 1e9)) GB/s"
}

/// A count, grouped by thousands.
package func grouped(_ count: Int) -> String {
  var text = ""
  for (index, digit) in String(count.magnitude).reversed().enumerated() {
    if index > 0, index.isMultiple(of: 3) { text.append(",") }
    text.append(digit)
  }
  return (count < 0 ? "-" : "") + String(text.reversed())
}

/// A count and its noun.
package func plural(_ count: Int, _ noun: String) -> String {
  "\(grouped(count)) \(noun)\(count == 1 ? "" : "s")"
}

/// The first `limit` values of a row of `dim`.
package func preview(_ row: Span<Float>, limit: Int = 4) -> String {
  var cells: [String] = []
  for i in 0..<min(limit, row.count) {
    let text = fixed(Double(row[i]), 4)
    cells.append(String(repeating: " ", count: max(0, 8 - text.count)) + text)
  }
  return cells.joined(separator: " ") + (row.count > limit ? " ..." : "")
}

/// `text` in double quotes, on one line, with controls escaped.
package func quoted(_ text: String) -> String {
  let scalars = text.unicodeScalars.map { scalar in
    scalar.properties.generalCategory == .control || scalar == "\"" || scalar == "\\"
      ? scalar.escaped(asASCII: true) : String(scalar)
  }
  return "\"" + scalars.joined() + "\""
}

/// `text` with what would move a terminal's cursor escaped, but for line ends and tabs.
package func printable(_ text: String) -> String {
  String(
    String.UnicodeScalarView(
      text.unicodeScalars.flatMap { scalar -> [Unicode.Scalar] in
        guard scalar.properties.generalCategory == .control, scalar != "\n", scalar != "\t" else {
          return [scalar]
        }
        return Array(scalar.escaped(asASCII: true).unicodeScalars)
      }))
}
