// A file of token ids, one after another without a header: unsigned 16-bit or 32-bit little-endian
// integers, the `.bin` files that GPT training code reads. Mapped, not read: only the pages in use
// are in memory, so a file may be larger than it.

/// The element type of a token file.
public enum TokenWidth: Int, Sendable, CaseIterable {
  /// Two bytes: ids up to 65,535.
  case uint16 = 2
  /// Four bytes: ids up to `Int32.max`, the largest that a loader gives.
  case uint32 = 4

  /// The narrowest width for a vocabulary of this size.
  public init(vocabularySize: Int) { self = vocabularySize <= 1 << 16 ? .uint16 : .uint32 }

  /// The largest id that can be written and read back.
  public var largestID: Int64 { self == .uint16 ? 0xFFFF : Int64(Int32.max) }
}

/// A memory-mapped, read-only file of token ids.
///
/// Safe to use from several threads at once. The file must not shrink while it is mapped: the
/// system ends a process that reads pages which are gone.
@safe
public final class TokenFile: @unchecked Sendable {
  /// Where the file is.
  public let path: String
  /// The element type.
  public let width: TokenWidth
  /// How many tokens it holds, at least 1.
  public let count: Int

  private let memory: MappedMemory
  private let base: UnsafeRawPointer

  /// Maps the file at `path`; reads none of it.
  ///
  /// - Throws: ``DataError/file(_:)`` when it can't be opened,
  ///   ``DataError/emptyFile(path:)``, or ``DataError/partialToken(path:bytes:width:)``.
  public init(path: String, width: TokenWidth) throws(DataError) {
    let file = try DataError.wrapping(try InputFile(path))
    let bytes = file.byteCount
    guard bytes > 0 else { throw .emptyFile(path: path) }
    guard bytes % width.rawValue == 0 else {
      throw .partialToken(path: path, bytes: bytes, width: width.rawValue)
    }
    let memory = try DataError.wrapping(try MappedMemory(file, byteCount: bytes))
    unsafe base = UnsafeRawPointer(memory.bytes.baseAddress.unsafelyUnwrapped)
    self.memory = memory
    self.path = path
    self.width = width
    count = bytes / width.rawValue
  }

  /// Tells the system how the file will be read. Advice only: failure to take it is no error.
  public func advise(_ pattern: AccessPattern) { memory.advise(pattern) }

  /// Asks the system to bring a range of tokens into memory in the background. A range outside the
  /// file is cut to it.
  public func prefetch(_ range: Range<Int>) {
    let range = range.clamped(to: 0..<count)
    memory.prefetch(range.lowerBound * width.rawValue..<range.upperBound * width.rawValue)
  }

  /// Copies the tokens of `range` into the start of `output`, which may be longer.
  ///
  /// - Throws: ``DataError/rangeOutOfBounds(lower:upper:count:)``,
  ///   ``DataError/bufferTooSmall(name:count:needed:)``, or
  ///   ``DataError/tokenTooLarge(value:position:limit:)`` for a stored id over `Int32.max`; then
  ///   nothing is written.
  public func read(_ range: Range<Int>, into output: inout MutableSpan<Int32>) throws(DataError) {
    guard range.lowerBound >= 0, range.upperBound <= count else {
      throw .rangeOutOfBounds(lower: range.lowerBound, upper: range.upperBound, count: count)
    }
    guard output.count >= range.count else {
      throw .bufferTooSmall(name: "output", count: output.count, needed: range.count)
    }
    try check(range)
    unsafe output.withUnsafeMutableBufferPointer { buffer in
      guard let first = buffer.baseAddress else { return }
      unsafe copy(range, to: first)
    }
  }

  /// Checks that every id is below `vocabularySize`, reading the whole file once.
  ///
  /// - Throws: ``DataError/tokenTooLarge(value:position:limit:)`` for the first that is not.
  public func validate(vocabularySize: Int) throws(DataError) {
    for position in 0..<count {
      let value = stored(position)
      if value >= vocabularySize {
        throw .tokenTooLarge(
          value: value, position: position, limit: Int64(vocabularySize) - 1)
      }
    }
  }

  /// Throws if an id in `range`, which is inside the file, does not fit Int32.
  func check(_ range: Range<Int>) throws(DataError) {
    guard width == .uint32 else { return }
    let words = unsafe base.assumingMemoryBound(to: UInt32.self)
    var any: UInt32 = 0
    for i in range { unsafe any |= UInt32(littleEndian: words[i]) }
    if any <= UInt32(Int32.max) { return }
    for position in range where stored(position) > Int64(Int32.max) {
      throw .tokenTooLarge(
        value: stored(position), position: position, limit: Int64(Int32.max))
    }
  }

  /// Copies the tokens of `range`, which is inside the file and checked, to `output`.
  func copy(_ range: Range<Int>, to output: UnsafeMutablePointer<Int32>) {
    switch width {
    case .uint16:
      let words = unsafe base.assumingMemoryBound(to: UInt16.self) + range.lowerBound
      for i in 0..<range.count { unsafe output[i] = Int32(UInt16(littleEndian: words[i])) }
    case .uint32:
      let words = unsafe base.assumingMemoryBound(to: UInt32.self) + range.lowerBound
      for i in 0..<range.count {
        unsafe output[i] = Int32(bitPattern: UInt32(littleEndian: words[i]))
      }
    }
  }

  private func stored(_ position: Int) -> Int64 {
    switch width {
    case .uint16:
      unsafe Int64(
        UInt16(littleEndian: base.load(fromByteOffset: position * 2, as: UInt16.self)))
    case .uint32:
      unsafe Int64(
        UInt32(littleEndian: base.load(fromByteOffset: position * 4, as: UInt32.self)))
    }
  }
}
