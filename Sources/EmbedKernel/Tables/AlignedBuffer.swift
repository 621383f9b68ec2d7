// Memory for tables and outputs: aligned to a cache line, and to a huge page where one fits, so
// that random rows of a large table cost fewer TLB misses.

internal import CSystem

/// Owned, zeroed memory for `count` elements.
///
/// The address is a multiple of 64 bytes; from 2 MiB on it is a multiple of 2 MiB, and the kernel
/// is asked to back it with huge pages.
@safe public struct AlignedBuffer<Element: BitwiseCopyable>: ~Copyable {
  @usableFromInline package let base: UnsafeMutablePointer<Element>

  /// The number of elements.
  public let count: Int

  /// Whose memory it is; nil for one's own.
  let owner: BorrowedMemory?

  /// Allocates `count` elements, all bits zero.
  ///
  /// Every page is touched here, so that the first use of the memory costs no page faults.
  ///
  /// - Throws: `invalidSize` for a negative count, `sizeOverflow`, `outOfMemory`.
  public init(count: Int) throws(EmbedError) {
    guard count >= 0 else {
      throw .invalidSize(argument: "count", value: count, expected: "0 or more")
    }
    let bytes = try elementCount("buffer", count, MemoryLayout<Element>.stride)
    if bytes >= hugePage { try SystemMemory.check(bytes) }
    let alignment = bytes >= hugePage ? hugePage : cacheLine
    var memory: UnsafeMutableRawPointer?
    guard unsafe posix_memalign(&memory, alignment, max(bytes, 1)) == 0, let memory = unsafe memory
    else { throw .outOfMemory(bytes: bytes) }
    unsafe cs_advise_huge_pages(memory, bytes)
    unsafe memset(memory, 0, bytes)
    unsafe base = memory.bindMemory(to: Element.self, capacity: max(count, 1))
    self.count = count
    owner = nil
  }

  /// Takes someone else's memory as it is: at any address that the elements' alignment divides, and neither
  /// cleared nor released here.
  ///
  /// - Parameter owner: Lives as long as this does.
  package init(borrowing memory: UnsafeMutableBufferPointer<Element>, of owner: BorrowedMemory) {
    unsafe base =
      memory.baseAddress
      ?? UnsafeMutablePointer(bitPattern: cacheLine).unsafelyUnwrapped
    count = memory.count
    self.owner = owner
  }

  deinit { if owner == nil { unsafe free(base) } }

  /// The elements, for reading.
  @inlinable public var span: Span<Element> {
    @_lifetime(borrow self)
    get {
      unsafe _overrideLifetime(
        Span(_unsafeStart: base, count: count), borrowing: self)
    }
  }

  /// The elements, for reading and writing.
  @inlinable public var mutableSpan: MutableSpan<Element> {
    @_lifetime(&self)
    mutating get {
      unsafe _overrideLifetime(
        MutableSpan(_unsafeStart: base, count: count), mutating: &self)
    }
  }

  /// The element at `index`.
  ///
  /// - Precondition: `index` is in `0..<count`.
  @inlinable public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "index out of bounds")
      return unsafe base[index]
    }
    set {
      precondition(index >= 0 && index < count, "index out of bounds")
      unsafe base[index] = newValue
    }
  }

  /// The memory itself, valid for as long as this value lives.
  @inlinable public var unsafeBuffer: UnsafeMutableBufferPointer<Element> {
    unsafe UnsafeMutableBufferPointer(start: base, count: count)
  }
}

// The pointer is owned alone, as the type cannot be copied.
extension AlignedBuffer: @unchecked Sendable where Element: Sendable {}

/// Memory that is not this library's, for as long as something uses it.
package final class BorrowedMemory: Sendable {
  private let release: (@Sendable () -> Void)?

  /// - Parameter release: Called once nothing uses the memory any more.
  package init(release: (@Sendable () -> Void)? = nil) { self.release = release }

  deinit { release?() }
}

private let cacheLine = 64
private let hugePage = 2 << 20
