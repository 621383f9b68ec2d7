// Guessing which of a file's names was meant by one that it lacks.

/// Names that resemble each other.
enum NearestNames {
  /// The names among `found` that are most like one of `expected`, the most alike first.
  ///
  /// A name with a prefix counts as like its end: `language_model.model.embed_tokens.weight` is near
  /// `embed_tokens.weight`. Of a model of many thousand tensors the first are looked at.
  static func among(_ found: [String], to expected: [String], limit: Int = 6) -> [String] {
    let ranked = found.prefix(20_000).map { name in
      (name: name, distance: expected.prefix(12).map { distance(from: $0, to: name) }.min() ?? 0)
    }
    return ranked.sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }.prefix(limit).map(
      \.name)
  }

  private static func distance(from expected: String, to name: String) -> Int {
    let parts = name.split(separator: ".")
    let tail = parts.suffix(expected.split(separator: ".").count).joined(separator: ".")
    let near = edits(from: String(expected.suffix(60)), to: String(tail.suffix(60)))
    // A prefix weighs less than a changed letter.
    return 2 * near + (name.utf8.count == tail.utf8.count ? 0 : 1)
  }
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string
/// alignment).
package func edits(from a: String, to b: String) -> Int {
  let (a, b) = (Array(a.utf8), Array(b.utf8))
  var twoBack: [Int] = []
  var back = Array(0...b.count)
  for i in 0..<a.count {
    var row = [i + 1]
    for j in 0..<b.count {
      var least = min(back[j] + (a[i] == b[j] ? 0 : 1), back[j + 1] + 1, row[j] + 1)
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, twoBack[j - 1] + 1) }
      row.append(least)
    }
    (twoBack, back) = (back, row)
  }
  return back[b.count]
}

// MARK: Names in messages

extension [String] {
  /// All of them where they are few; else the nearest to what was expected.
  package func nearest(to expected: [String]) -> String {
    guard count > 8 else { return listed("and") }
    return "\(count) others, of which the nearest are "
      + NearestNames.among(self, to: expected).listed("and")
  }

  /// In quotes, cut where they would fill the screen.
  package func listed(_ conjunction: String) -> String {
    let limit = 40
    guard let last else { return "none" }
    guard count > 1 else { return last.inQuotes }
    guard count <= limit else {
      return prefix(limit).map(\.inQuotes).joined(separator: ", ")
        + " \(conjunction) \(count - limit) more"
    }
    return dropLast().map(\.inQuotes).joined(separator: ", ") + " \(conjunction) \(last.inQuotes)"
  }
}

extension String {
  /// In quotes on one line, control characters escaped, cut where it is very long.
  package var inQuotes: String {
    let limit = 200
    let visible = unicodeScalars.prefix(limit).map {
      $0.properties.generalCategory == .control ? $0.escaped(asASCII: true) : String($0)
    }
    return "\"" + visible.joined() + (unicodeScalars.count > limit ? "..." : "") + "\""
  }
}
