// From a text file to a token file, a part at a time: memory is bounded by the part, the threads and the
// longest stretch of text without a place to cut, never by the file. `BytePairTokenizer` finds places
// in a text that is one run of letters too.

internal import CThreadPool

/// What tokenizing a file came to.
public struct TokenizingSummary: Sendable, Equatable {
  /// Bytes of text read.
  public var bytes: Int
  /// Tokens written.
  public var tokens: Int
  /// The element type of the file that was written.
  public var width: TokenWidth
}

extension TokenFile {
  /// Encodes the text file at `source` and writes the ids to a token file at `target`.
  ///
  /// The ids are those of the whole text encoded at once. An empty text gives no tokens, and so an
  /// empty file, which ``init(path:width:)`` refuses.
  ///
  /// - Parameters:
  ///   - source: Any bytes; pipes will do.
  ///   - tokenizer: What encodes them.
  ///   - special: How names of special tokens in the text are taken.
  ///   - target: Replaced only once all is written.
  ///   - width: The element type; by default the narrowest for the vocabulary.
  ///   - partSize: How many bytes are read at a time; by several threads, twice as many for each.
  ///   - threads: How many encode, at least 1; nil for all CPUs that the process may use.
  ///   - progress: Told the bytes done; its total should be the size of `source`.
  /// - Returns: How many bytes were read and tokens written.
  /// - Throws: What reading, encoding or writing throws; `target` then stays as it was. Offsets in
  ///   errors count from the start of the text.
  public static func write(
    tokenizing source: String, with tokenizer: some Tokenizer, special: SpecialText = .ordinary,
    to target: String, width: TokenWidth? = nil, partSize: Int = 1 << 18,
    threads: Int? = nil, progress: ProgressBar? = nil
  ) throws(DataError) -> TokenizingSummary {
    let width = width ?? TokenWidth(vocabularySize: tokenizer.vocabularySize)
    let count = threads ?? Int(ek_available_cpus())
    let (size, overflows) = partSize.multipliedReportingOverflow(by: count > 1 ? 2 * count : 1)
    var text = try TextParts(path: source, partSize: overflows ? partSize : size)
    let writer = try TokenFileWriter(path: target, width: width)
    defer { progress?.finish() }
    var ids: [Int32] = []
    while try text.advance(tokenizer) {
      ids.removeAll(keepingCapacity: true)
      do throws(DataError) {
        try tokenizer.encode(text.part, special: special, threads: threads, into: &ids)
      } catch {
        throw error.moved(by: text.offset)
      }
      try writer.append(ids.span)
      progress?.update(completed: text.offset + text.part.count)
    }
    try writer.finish()
    return TokenizingSummary(bytes: text.offset, tokens: writer.count, width: width)
  }
}

extension DataError {
  /// The same error, with byte offsets counted from `base` bytes earlier.
  func moved(by base: Int) -> DataError {
    switch self {
    case .specialTokenInText(let token, let offset):
      .specialTokenInText(token: token, offset: offset + base)
    case .byteWithoutToken(let byte, let offset):
      .byteWithoutToken(byte: byte, offset: offset + base)
    case .pieceTooLong(let offset, let bytes, let limit):
      .pieceTooLong(offset: offset + base, bytes: bytes, limit: limit)
    case .patternFailure(let code, let offset, let message):
      .patternFailure(code: code, offset: offset + base, message: message)
    default: self
    }
  }
}
