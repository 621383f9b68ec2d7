// What a shell offers where a value is due: words, files or folders. It follows from what stands for the
// value in the help, so that an option's table says it too.

/// What may stand for a value.
package enum Completion: Hashable, Sendable {
  case words([String])
  /// Files with one of the endings, or with any where none is named; and folders on the way to one.
  case files([String])
  case folders
  /// A number, a name, a text: nothing that is known.
  case nothing

  /// What the help calls `placeholder`; small letters are words to be typed as they are.
  package init(placeholder: String) {
    switch placeholder {
    case "FILE", "OUT", "PATH": self = .files([])
    case "NPY", "FIRST:END|NPY": self = .files(["npy", "npz", "safetensors", "gguf"])
    case "SAFETENSORS", "FILE.safetensors", "RUN": self = .files(["safetensors"])
    case "FILE.json": self = .files(["json"])
    case "BIN", "CSV", "SVG": self = .files([placeholder.lowercased()])
    case "FOLDER": self = .folders
    case "SCHEME": self = .words(PositionScheme.all.map(\.name))
    case "SHELL": self = .words(Shell.allCases.map(\.rawValue))
    default:
      let words = placeholder.split(separator: "|").map(String.init)
        .filter { $0 == $0.lowercased() }
      self = words.isEmpty ? .nothing : .words(words)
    }
  }
}

extension AnyOption {
  /// What may stand for its value; nil for a switch.
  var completion: Completion? {
    if placeholder.isEmpty { return nil }
    return choices.isEmpty ? Completion(placeholder: placeholder) : .words(choices)
  }

  /// The help's first clause, for a list of options.
  var brief: String { firstClause(help) }
}

extension Subcommand {
  /// What may stand for the operand, where there is one.
  static var operandCompletion: Completion {
    operandNames.first.map { Completion(placeholder: $0) } ?? .nothing
  }
}

/// `text` up to where it goes into details, without a full stop.
func firstClause(_ text: String) -> String {
  var end = text.endIndex
  for mark in [". ", "; ", ": ", " ("] {
    if let found = text.firstRange(of: mark) { end = min(end, found.lowerBound) }
  }
  let clause = text[..<end]
  return String(clause.last == "." ? clause.dropLast() : clause)
}
