// A span of pages from the system: a file's, shared with the page cache, or fresh ones.
//
// Fresh pages rather than the heap, because asking for too many is then an error and no trap, and
// because whole pages can be advised to be huge.

#if canImport(Darwin)
  internal import Darwin
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Glibc
#endif

/// Pages that go back to the system when the value goes. Page-aligned.
@safe package struct MappedMemory: ~Copyable, @unchecked Sendable {
  /// Memory from this size on is advised to be of huge pages: 2 MiB, one such page.
  private static let hugePage = 1 << 21

  private let base: UnsafeMutableRawPointer?
  package let byteCount: Int

  /// The memory; good while the value lives.
  @unsafe package var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: base, count: byteCount)
  }

  /// Maps the first `byteCount` bytes of `file`, to be read only.
  package init(_ file: borrowing InputFile, byteCount: Int) throws(FileError) {
    try self.init(
      byteCount: byteCount, protection: PROT_READ, flags: MAP_PRIVATE,
      descriptor: file.descriptor, path: file.path)
  }

  /// Zeroed pages, for the contents of `path`.
  package init(byteCount: Int, for path: String) throws(FileError) {
    #if canImport(Darwin)
      let anonymous = MAP_ANON
    #else
      let anonymous = MAP_ANONYMOUS
    #endif
    try self.init(
      byteCount: byteCount, protection: PROT_READ | PROT_WRITE, flags: MAP_PRIVATE | anonymous,
      descriptor: -1, path: path)
    #if os(Linux)
      if byteCount >= Self.hugePage { _ = unsafe madvise(base, byteCount, MADV_HUGEPAGE) }
    #endif
  }

  private init(
    byteCount: Int, protection: CInt, flags: CInt, descriptor: CInt, path: String
  ) throws(FileError) {
    self.byteCount = byteCount
    // The system refuses to map nothing.
    guard byteCount > 0 else {
      unsafe base = nil
      return
    }
    let pages = unsafe mmap(nil, byteCount, protection, flags, descriptor, 0)
    guard unsafe pages != MAP_FAILED else { throw .last("map", path) }
    unsafe base = pages
  }

  deinit {
    if let base = unsafe base { _ = unsafe munmap(base, byteCount) }
  }
}
