// What the loader, the token files and the command ask of any tokenizer: bytes to ids, ids to
// bytes, and where a text may be cut so that its parts encode to the same ids as the whole.

/// How text that spells a special token, such as `<|endoftext|>`, is encoded.
public enum SpecialText: Sendable, Hashable {
  /// As any other text: data can't forge a control token.
  case ordinary
  /// As the special token's id.
  case recognised
  /// Not at all: encoding throws ``DataError/specialTokenInText(token:offset:)``.
  case refused
}

/// A reversible map from bytes to token ids.
///
/// Encoding takes any bytes, and decoding what was encoded gives the same bytes back.
/// Conforming types may be used from several threads at once.
public protocol Tokenizer: Sendable {
  /// One more than the largest id, special tokens included.
  var vocabularySize: Int { get }

  /// The tokens that text alone doesn't form, by name.
  var specialTokens: [String: Int32] { get }

  /// Appends the ids of `bytes` to `ids`, which is left as it was when this throws.
  func encode(
    _ bytes: Span<UInt8>, special: SpecialText, into ids: inout [Int32]
  ) throws(DataError)

  /// Appends the same ids, by up to `threads` threads at once, at least 1; nil for all CPUs that the
  /// process may use. One thread does it where a tokenizer has no other way.
  func encode(
    _ bytes: Span<UInt8>, special: SpecialText, threads: Int?, into ids: inout [Int32]
  ) throws(DataError)

  /// Writes the same ids to the start of `ids`: as many as bytes always fit.
  ///
  /// - Returns: How many ids there are. Where they are more than `ids` has room for, the rest is not
  ///   written; where they are fewer, what is behind them is of no meaning.
  func encode(
    _ bytes: Span<UInt8>, special: SpecialText, threads: Int?, into ids: inout MutableSpan<Int32>
  ) throws(DataError) -> Int

  /// Appends the bytes of `ids` to `bytes`, which is left as it was when this throws.
  ///
  /// A token may hold part of a character, so the bytes of some ids need not be UTF-8.
  func decode(_ ids: Span<Int32>, into bytes: inout [UInt8]) throws(DataError)

  /// A position at which `bytes`, the start of a text, may be cut, as late as is found: whatever bytes
  /// follow, the ids before and after the cut, joined, are the ids of the whole. 0 when none is found.
  func splitPoint(in bytes: Span<UInt8>) -> Int

  /// Whether some token has the id. A vocabulary may have no token for an id below its size: such an
  /// id can't be decoded, and must not be sampled.
  func hasToken(_ id: Int32) -> Bool
}

extension Tokenizer {
  /// Appends the ids on the calling thread.
  ///
  /// - Throws: ``DataError/invalidSetting(name:value:requirement:)`` for `threads` below 1.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText, threads: Int?, into ids: inout [Int32]
  ) throws(DataError) {
    try DataError.check(threads: threads)
    try encode(bytes, special: special, into: &ids)
  }

  /// Writes the ids by way of a list of them.
  ///
  /// - Throws: What encoding into an array throws, and ``DataError/outOfMemory(bytes:)`` where the list
  ///   may not fit; nothing is written then.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText, threads: Int?, into ids: inout MutableSpan<Int32>
  ) throws(DataError) -> Int {
    try encodeByList(bytes, special: special, threads: threads, into: &ids)
  }

  func encodeByList(
    _ bytes: Span<UInt8>, special: SpecialText, threads: Int?, into ids: inout MutableSpan<Int32>
  ) throws(DataError) -> Int {
    // Ids are no more than bytes.
    let (size, overflow) = bytes.count.multipliedReportingOverflow(by: MemoryLayout<Int32>.stride)
    guard !overflow, SystemMemory.has(size) else {
      throw .outOfMemory(bytes: overflow ? .max : size)
    }
    var list: [Int32] = []
    try encode(bytes, special: special, threads: threads, into: &list)
    for i in 0..<min(list.count, ids.count) { ids[i] = list[i] }
    return list.count
  }

  /// Whether the id can be decoded.
  public func hasToken(_ id: Int32) -> Bool { (try? decode([id])) != nil }

  /// The ids of a string's UTF-8.
  public func encode(
    _ text: String, special: SpecialText = .ordinary
  ) throws(DataError) -> [Int32] {
    var ids: [Int32] = []
    try encode(text.utf8.span, special: special, into: &ids)
    return ids
  }

  /// The ids of any bytes.
  public func encode(
    bytes: [UInt8], special: SpecialText = .ordinary
  ) throws(DataError) -> [Int32] {
    var ids: [Int32] = []
    try encode(bytes.span, special: special, into: &ids)
    return ids
  }

  /// The bytes of `ids`.
  public func decode(_ ids: [Int32]) throws(DataError) -> [UInt8] {
    var bytes: [UInt8] = []
    try decode(ids.span, into: &bytes)
    return bytes
  }

  /// The text of `ids`, with U+FFFD for what is not UTF-8.
  public func decodeText(_ ids: [Int32]) throws(DataError) -> String {
    String(decoding: try decode(ids), as: UTF8.self)
  }
}

extension DataError {
  /// Refuses a number of threads below 1; nil leaves it to the machine.
  static func check(threads: Int?) throws(DataError) {
    guard let threads, threads < 1 else { return }
    throw .invalidSetting(name: "threads", value: threads, requirement: "at least 1")
  }
}
