// Ids as the kernels see them: 4 or 8 bytes each, checked once before anything is written.

package import CKernels

/// An integer type that token ids may have.
public protocol TokenID: FixedWidthInteger, SignedInteger, BitwiseCopyable, Sendable {}

extension Int32: TokenID {}
extension Int64: TokenID {}
extension Int: TokenID {}

/// The caller's ids, of either width.
@usableFromInline
@safe package struct TokenIDs {
  @usableFromInline package let base: UnsafeRawPointer
  package let count: Int
  @usableFromInline package let isWide: Bool

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

  // Inlinable: a call for each would take longer than what other targets do with an id.
  @inlinable @inline(__always)
  package subscript(index: Int) -> Int {
    isWide
      ? Int(unsafe base.load(fromByteOffset: index &* 8, as: Int64.self))
      : Int(unsafe base.load(fromByteOffset: index &* 4, as: Int32.self))
  }

  /// Whether every id is in `0..<vocabulary`.
  package func areAll(below vocabulary: Int) -> Bool {
    unsafe areAll(below: vocabulary, in: 0..<count, plainKernels)
  }

  /// The same of the ids at some places, by the widest vectors that a call has.
  package func areAll(
    below vocabulary: Int, in range: Range<Int>, _ kernels: UnsafePointer<ek_kernels>
  ) -> Bool {
    unsafe kernels.pointee.ids_below(
      address(range.lowerBound), range.count, isWide ? 8 : 4, vocabulary)
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
