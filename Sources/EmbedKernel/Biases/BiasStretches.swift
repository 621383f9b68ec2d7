// Positions of a batch row as stretches: tokens at consecutive positions in one document.

/// Tokens of one batch row at consecutive positions.
struct Stretch {
  /// The first token's column.
  var column: Int
  var count: Int
  /// The first token's position.
  var position: Int
  /// The document, or `padding`.
  var group: Int

  static let padding = -1

  /// At most `limit` of the tokens from the one at `start` on.
  func part(_ start: Int, _ limit: Int) -> Stretch {
    Stretch(
      column: column + start, count: min(limit, count - start), position: position + start,
      group: group)
  }
}

extension Places {
  /// Calls `body` for the stretches of columns `columns` of batch row `row`, in order.
  @inline(__always)
  func forEachStretch(
    row: Int, context: Int, columns: Range<Int>, _ body: (Stretch) -> Void
  ) {
    guard !columns.isEmpty else { return }
    let (first, end) = (columns.lowerBound, columns.upperBound)
    switch self {
    case .sequential(let offset):
      body(Stretch(column: first, count: end - first, position: offset + first, group: 0))
    case .offsets(let offsets):
      let position = unsafe Int(offsets[row]) + first
      body(Stretch(column: first, count: end - first, position: position, group: 0))
    case .explicit(let ids, let shared):
      let ids = unsafe shared ? ids : ids + row * context
      var column = first
      while column < end {
        var next = column + 1
        while unsafe next < end && ids[next] == ids[next - 1] &+ 1 { next += 1 }
        unsafe body(
          Stretch(column: column, count: next - column, position: Int(ids[column]), group: 0))
        column = next
      }
    case .packed(let lengths):
      let base = row * context
      var document = unsafe Places.document(of: base + first, lengths)
      var column = first
      while column < end {
        let (start, stop) = unsafe (Int(lengths[document]), Int(lengths[document + 1]))
        let next = min(stop - base, end)
        if next > column {
          body(
            Stretch(
              column: column, count: next - column, position: base + column - start,
              group: document))
          column = next
        }
        document += 1
      }
    case .mask(let mask):
      let mask = unsafe mask + row * context
      var position = 0
      for column in 0..<first where unsafe mask[column] != 0 { position += 1 }
      var column = first
      while column < end {
        let isReal = unsafe mask[column] != 0
        var next = column + 1
        while unsafe next < end && (mask[next] != 0) == isReal { next += 1 }
        let count = next - column
        body(
          Stretch(
            column: column, count: count, position: isReal ? position : 0,
            group: isReal ? 0 : Stretch.padding))
        if isReal { position += count }
        column = next
      }
    }
  }

  /// The lowest and the highest position of a token; nil where there is no token.
  func bounds(batch: Int, context: Int) -> (lowest: Int, highest: Int)? {
    guard batch > 0, context > 0 else { return nil }
    switch self {
    case .sequential(let offset): return (offset, offset + context - 1)
    case .explicit(let ids, shared: true):
      var (lowest, highest) = (Int.max, 0)
      for i in 0..<context {
        (lowest, highest) = unsafe (min(lowest, Int(ids[i])), max(highest, Int(ids[i])))
      }
      return (lowest, highest)
    case .offsets, .explicit, .packed, .mask:
      var (lowest, highest) = (Int.max, 0)
      for row in 0..<batch {
        forEachStretch(row: row, context: context, columns: 0..<context) { stretch in
          let last = stretch.group == Stretch.padding ? 0 : stretch.count - 1
          lowest = min(lowest, stretch.position)
          highest = max(highest, stretch.position + last)
        }
      }
      return (lowest, highest)
    }
  }

  var isPacked: Bool { if case .packed = self { true } else { false } }
}
