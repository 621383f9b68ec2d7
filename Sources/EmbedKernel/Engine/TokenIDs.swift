// Ids as the kernels see them: 4 or 8 bytes each, checked once before anything is written.

/// An integer type that token ids may have.
public protocol TokenID: FixedWidthInteger, SignedInteger, BitwiseCopyable, Sendable {}

extension Int32: TokenID {}
extension Int64: TokenID {}
extension Int: TokenID {}

/// The caller's ids, of either width.
@usableFromInline
@safe package struct TokenIDs {
  package let base: UnsafeRawPointer
  package let count: Int
  package let isWide: Bool

  @inlinable
  package init<ID: TokenID>(_ ids: UnsafeBufferPointer<ID>) {
    unsafe self.init(
      base: ids.baseAddress.map { unsafe UnsafeRawPointer($0) }, count: ids.count,
      isWide: MemoryLayout<ID>.size == 8)
  }

  @usableFromInline
  package init(base: UnsafeRawPointer?, count: Int, isWide: Bool) {
    unsafe self.base = base ?? UnsafeRawPointer(bitPattern: 64).unsafelyUnwrapped
    self.count = count
    self.isWide = isWide
  }

  package var bytes: Int { count * (isWide ? 8 : 4) }

  /// The address of id `index`.
  @inline(__always)
  func address(_ index: Int) -> UnsafeRawPointer { unsafe base + index &* (isWide ? 8 : 4) }

  @inline(__always)
  package subscript(index: Int) -> Int {
    isWide
      ? Int(unsafe base.load(fromByteOffset: index &* 8, as: Int64.self))
      : Int(unsafe base.load(fromByteOffset: index &* 4, as: Int32.self))
  }

  /// Whether every id is in `0..<vocabulary`.
  package func areAll(below vocabulary: Int) -> Bool {
    if isWide {
      let ids = unsafe UnsafeBufferPointer(
        start: base.assumingMemoryBound(to: Int64.self), count: count)
      return unsafe noneOutside(ids, last: Int64(vocabulary - 1))
    }
    let ids = unsafe UnsafeBufferPointer(
      start: base.assumingMemoryBound(to: Int32.self), count: count)
    return unsafe noneOutside(ids, last: Int32(clamping: vocabulary - 1))
  }

  /// The sign bit of `id | (last - id)` is set exactly for ids below 0 or past `last`: one pass
  /// without a branch, which the compiler vectorises.
  @inline(__always)
  private func noneOutside<ID: TokenID>(_ ids: UnsafeBufferPointer<ID>, last: ID) -> Bool {
    var signs: ID = 0
    for i in 0..<ids.count {
      let id = unsafe ids[i]
      signs |= id | (last &- id)
    }
    return signs >= 0
  }

  /// The error that names the first id outside `0..<vocabulary`.
  package func firstOutside(_ vocabulary: Int, context: Int) -> EmbedError? {
    for token in 0..<count where self[token] < 0 || self[token] >= vocabulary {
      return .tokenOutOfRange(
        id: Int64(self[token]), batchRow: token / context, position: token % context,
        vocabulary: vocabulary)
    }
    return nil
  }
}
