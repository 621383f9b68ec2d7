// The tokenizer that needs no file: a byte is its own id.

/// A tokenizer of 256 ids, each a byte, with no special tokens.
public struct ByteTokenizer: Tokenizer {
  /// Makes the tokenizer, which holds nothing.
  public init() {}

  /// 256.
  public var vocabularySize: Int { 256 }

  /// None.
  public var specialTokens: [String: Int32] { [:] }

  /// Appends each byte as an id. `special` has no effect, and nothing throws.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText, into ids: inout [Int32]
  ) throws(DataError) {
    for i in bytes.indices { ids.append(Int32(bytes[i])) }
  }

  /// Writes each byte as an id, as far as there is room; returns how many bytes there are.
  ///
  /// - Throws: ``DataError/invalidSetting(name:value:requirement:)`` for `threads` below 1.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText, threads: Int?, into ids: inout MutableSpan<Int32>
  ) throws(DataError) -> Int {
    try DataError.check(threads: threads)
    for i in 0..<min(bytes.count, ids.count) { ids[i] = Int32(bytes[i]) }
    return bytes.count
  }

  /// Appends each id as a byte.
  ///
  /// - Throws: ``DataError/unknownToken(id:position:vocabularySize:)`` for an id outside `0..<256`.
  public func decode(_ ids: Span<Int32>, into bytes: inout [UInt8]) throws(DataError) {
    for i in ids.indices where !(0..<256).contains(ids[i]) {
      throw .unknownToken(id: ids[i], position: i, vocabularySize: 256)
    }
    for i in ids.indices { bytes.append(UInt8(ids[i])) }
  }

  /// Whether the id is a byte.
  public func hasToken(_ id: Int32) -> Bool { (0..<256).contains(id) }

  /// The end: bytes may be cut anywhere.
  public func splitPoint(in bytes: Span<UInt8>) -> Int { bytes.count }
}
