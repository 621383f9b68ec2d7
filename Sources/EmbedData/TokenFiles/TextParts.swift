// Reads a text file in parts that encode to the same ids as the whole, which the tokenizer's
// `splitPoint` finds. A part in which it finds none grows until it does.

/// A text file cut into parts.
struct TextParts: ~Copyable {
  /// Where the current part starts in the file; its end once there are no more.
  private(set) var offset = 0

  private var file: InputStream
  private let partSize: Int
  private var buffer: [UInt8] = []
  /// The current part is the first `length` bytes of the buffer.
  private var length = 0
  private var isAtEnd = false

  init(path: String, partSize: Int) throws(DataError) {
    guard partSize > 0 else {
      throw .invalidSetting(name: "partSize", value: partSize, requirement: "at least 1")
    }
    // Refuses folders before anything is written.
    file = try DataError.wrapping(try InputStream(path))
    self.partSize = partSize
  }

  /// The current part.
  var part: Span<UInt8> {
    @_lifetime(borrow self)
    borrowing get { buffer.span.extracting(first: length) }
  }

  /// Moves to the next part; false at the end of the file.
  mutating func advance(_ tokenizer: some Tokenizer) throws(DataError) -> Bool {
    buffer.removeFirst(length)
    offset += length
    length = 0
    var wanted = partSize
    while true {
      if !isAtEnd, buffer.count < wanted {
        let missing = wanted - buffer.count
        isAtEnd =
          try DataError.wrapping(try file.read(missing, appendingTo: &buffer)) < missing
      }
      length = isAtEnd ? buffer.count : tokenizer.splitPoint(in: buffer.span)
      if length > 0 { return true }
      if isAtEnd { return false }
      // Doubling what has no cut keeps the searches for one linear in all.
      wanted = buffer.count * 2
    }
  }
}
