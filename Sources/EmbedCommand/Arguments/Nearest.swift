// Guessing what a mistyped name was meant to be.

/// A message about a name that is not known, with the known one that it resembles.
package func unknown(_ kind: String, _ word: String, among known: [String]) -> String {
  let hint = nearest(to: word, among: known).map { "; did you mean '\($0)'?" } ?? ""
  return "unknown \(kind) '\(word)'\(hint)"
}

/// The name that `word` begins, or the one fewest edits away; nil where none is near.
package func nearest(to word: String, among names: [String]) -> String? {
  let word = word.lowercased()
  // Dashes alone are the beginning of every option.
  if word.drop(while: { $0 == "-" }).count > 1,
    let begun = names.first(where: { $0.hasPrefix(word) })
  {
    return begun
  }
  let distances = names.map { (name: $0, edits: edits(from: word, to: $0)) }
  guard let best = distances.min(by: { $0.edits < $1.edits }) else { return nil }
  let length = best.name.drop { $0 == "-" }.count
  return best.edits <= max(1, (length + 1) / 3) ? best.name : nil
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string
/// alignment).
package func edits(from a: String, to b: String) -> Int {
  let (a, b) = (Array(a), Array(b))
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
