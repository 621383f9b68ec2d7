// Columns of text, each as wide as its widest cell.

/// Lines of cells that are aligned when printed.
struct Table {
  /// Where a column's text stands.
  enum Alignment {
    case left
    case right
  }

  private var rows: [[String]] = []
  private let alignments: [Alignment]
  private let indent: Int

  /// A table of as many columns as there are alignments.
  init(_ alignments: Alignment..., indent: Int = 2) {
    self.alignments = alignments
    self.indent = indent
  }

  /// Facts by name.
  init(facts: KeyValuePairs<String, String>) {
    self.init(.left, .left, indent: 0)
    for (name, fact) in facts { add(name, fact) }
  }

  /// Adds a line; missing cells are empty.
  mutating func add(_ cells: String...) { rows.append(cells) }

  /// The aligned lines.
  var lines: [String] {
    let widths = alignments.indices.map { column in
      rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return rows.map { row in
      var line = String(repeating: " ", count: indent)
      for (column, cell) in row.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        line += alignments[column] == .left ? cell + padding : padding + cell
        line += "  "
      }
      while line.last == " " { line.removeLast() }
      return line
    }
  }
}
