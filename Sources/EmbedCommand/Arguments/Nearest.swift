// Guessing what a mistyped name was meant to be.

internal import EmbedKernel

/// A message about a name that is not known, with the known one that it resembles.
package func unknown(_ kind: String, _ word: String, among known: [String]) -> String {
  "unknown \(kind) '\(word)'\(hint(for: word, among: known))"
}

/// What an error about `word` ends with: the name that was meant, if one is near.
func hint(for word: String, among names: [String]) -> String {
  nearest(to: word, among: names).map { "; did you mean '\($0)'?" } ?? ""
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
