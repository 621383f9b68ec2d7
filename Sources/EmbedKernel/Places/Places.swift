// Position ids as kernels read them: plain pointers, walked as stretches of consecutive positions.

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

extension Places {
  /// Calls `body(start, count, position)` for stretches of tokens with consecutive positions:
  /// together they cover the tokens `range` in order, and none crosses a batch row's end unless
  /// its document does.
  @inline(__always)
  package func forEachRun(
    context: Int, in range: Range<Int>,
    _ body: (_ start: Int, _ count: Int, _ position: Int) -> Void
  ) {
    guard !range.isEmpty else { return }
    switch self {
    case .sequential(let offset):
      forEachRow(context, range) { _, column, start, count in body(start, count, offset + column) }
    case .offsets(let offsets):
      forEachRow(context, range) { row, column, start, count in
        unsafe body(start, count, Int(offsets[row]) + column)
      }
    case .explicit(let ids, let shared):
      for token in range { unsafe body(token, 1, Int(ids[shared ? token % context : token])) }
    case .packed(let lengths):
      var document = unsafe Self.document(of: range.lowerBound, lengths)
      var start = range.lowerBound
      while start < range.upperBound {
        let end = unsafe min(Int(lengths[document + 1]), range.upperBound)
        if end > start { unsafe body(start, end - start, start - Int(lengths[document])) }
        start = max(start, end)
        document += 1
      }
    case .mask(let mask):
      forEachRow(context, range) { row, column, start, count in
        var position = 0
        for token in row * context..<row * context + column where unsafe mask[token] != 0 {
          position += 1
        }
        var token = start
        while token < start + count {
          let runStart = token
          if unsafe mask[token] == 0 {
            token += 1
            body(runStart, 1, 0)
          } else {
            while token < start + count, unsafe mask[token] != 0 { token += 1 }
            body(runStart, token - runStart, position)
            position += token - runStart
          }
        }
      }
    }
  }

  /// Cuts `range` at the ends of batch rows.
  @inline(__always)
  private func forEachRow(
    _ context: Int, _ range: Range<Int>,
    _ body: (_ row: Int, _ column: Int, _ start: Int, _ count: Int) -> Void
  ) {
    var start = range.lowerBound
    while start < range.upperBound {
      let (row, column) = start.quotientAndRemainder(dividingBy: context)
      let count = min(context - column, range.upperBound - start)
      body(row, column, start, count)
      start += count
    }
  }

  /// The document of cumulative `lengths` that token `token` belongs to.
  static func document(of token: Int, _ lengths: UnsafeBufferPointer<Int32>) -> Int {
    (1..<max(1, lengths.count - 1)).partitionPoint { unsafe Int(lengths[$0]) > token } - 1
  }
}
