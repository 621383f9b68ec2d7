// Position ids as kernels read them: plain pointers, and one walk over them in stretches of
// consecutive positions.

/// A `PositionIDs` for the length of a call, checked against the call's sizes.
///
/// A plain value, so that passing it on counts no references.
@safe package enum Places {
  case sequential(offset: Int)
  case offsets(UnsafePointer<Int32>)
  /// One id a token; `shared` where all sequences have the same.
  case explicit(UnsafePointer<Int32>, shared: Bool)
  case packed(UnsafeBufferPointer<Int32>)
  case mask(UnsafePointer<UInt8>)
}

extension PositionIDs {
  /// Gives `body` the positions as pointers, valid for the call.
  @inline(__always)
  package func withPlaces<Failure: Error>(
    context: Int, _ body: (Places) throws(Failure) -> Void
  ) throws(Failure) {
    switch layout {
    case .sequential(let offset):
      try body(.sequential(offset: offset))
    case .offsets(let offsets):
      try unsafe offsets.withUnsafeBufferPointer { (offsets) throws(Failure) in
        try unsafe body(.offsets(address(offsets)))
      }
    case .explicit(let ids):
      try unsafe ids.withUnsafeBufferPointer { (ids) throws(Failure) in
        try unsafe body(.explicit(address(ids), shared: ids.count == context))
      }
    case .packed(let lengths):
      try unsafe lengths.withUnsafeBufferPointer { (lengths) throws(Failure) in
        try unsafe body(.packed(lengths))
      }
    case .mask(let mask):
      try unsafe mask.withUnsafeBufferPointer { (mask) throws(Failure) in
        try unsafe body(.mask(address(mask)))
      }
    }
  }
}

/// The first element's address; an empty array's is never read.
private func address<Element>(_ buffer: UnsafeBufferPointer<Element>) -> UnsafePointer<Element> {
  unsafe buffer.baseAddress ?? UnsafePointer(bitPattern: 64).unsafelyUnwrapped
}

/// Tokens of one batch row at consecutive positions in one document, or padding.
package struct Stretch {
  /// The first token's column.
  package var column: Int
  /// The number of tokens.
  package var count: Int
  /// The first token's position; 0 for all of a stretch of padding.
  package var position: Int
  /// The document, or `padding`.
  package var group: Int

  /// The group of padding tokens.
  package static let padding = -1

  /// At most `limit` of the tokens from the one at `start` on.
  func part(_ start: Int, _ limit: Int) -> Stretch {
    Stretch(
      column: column + start, count: min(limit, count - start), position: position + start,
      group: group)
  }
}

extension Places {
  /// Calls `body` for the stretches of columns `columns` of batch row `row`, in order. This is the
  /// one walk over the five kinds of position.
  @inline(__always)
  package func forEachStretch(
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
      var document = unsafe Self.document(of: base + first, lengths)
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

  /// Calls `body(start, count, position)` for runs of tokens, counted over the batch, with
  /// consecutive positions: together they cover the tokens `range` in order, and none crosses a
  /// batch row's end. Padding tokens are runs of one, at position 0.
  @inline(__always)
  package func forEachRun(
    context: Int, in range: Range<Int>,
    _ body: (_ start: Int, _ count: Int, _ position: Int) -> Void
  ) {
    var token = range.lowerBound
    while token < range.upperBound {
      let (row, column) = token.quotientAndRemainder(dividingBy: context)
      let end = min(context, column + range.upperBound - token)
      let start = token - column
      forEachStretch(row: row, context: context, columns: column..<end) { stretch in
        let step = stretch.group == Stretch.padding ? 1 : stretch.count
        var done = 0
        while done < stretch.count {
          body(start + stretch.column + done, step, stretch.position)
          done += step
        }
      }
      token = start + end
    }
  }

  /// The document of cumulative `lengths` that token `token` belongs to.
  static func document(of token: Int, _ lengths: UnsafeBufferPointer<Int32>) -> Int {
    (1..<max(1, lengths.count - 1)).partitionPoint { unsafe Int(lengths[$0]) > token } - 1
  }

  /// The lowest and the highest position of the tokens `range`; nil where there are none.
  func bounds(context: Int, in range: Range<Int>) -> ClosedRange<Int>? {
    guard !range.isEmpty else { return nil }
    var (lowest, highest) = (Int.max, 0)
    forEachRun(context: context, in: range) { _, count, position in
      (lowest, highest) = (min(lowest, position), max(highest, position + count - 1))
    }
    return lowest...highest
  }

  /// Whether each sequence's positions follow one another, and where the first stands is known.
  @inline(__always)
  var areConsecutive: Bool {
    switch self {
    case .sequential, .offsets: true
    case .explicit, .packed, .mask: false
    }
  }

  /// Whether all sequences stand alike.
  @inline(__always)
  package var isSequential: Bool { if case .sequential = self { true } else { false } }

  var isPacked: Bool { if case .packed = self { true } else { false } }

  /// The first position of sequence `row`, where positions are consecutive.
  @inline(__always)
  func first(_ row: Int) -> Int {
    switch self {
    case .sequential(let offset): offset
    case .offsets(let offsets): unsafe Int(offsets[row])
    case .explicit, .packed, .mask: 0
    }
  }
}
