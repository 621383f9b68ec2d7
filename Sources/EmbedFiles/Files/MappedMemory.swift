// A span of pages from the system: a file's, shared with the page cache, or fresh ones.
//
// Fresh pages rather than the heap, because asking for too many is then an error and no trap, and
// because whole pages can be advised to be huge.

internal import CSystem

/// How a file is about to be read, as advice to the system's page cache.
public enum AccessPattern: Sendable {
  /// From start to end: read ahead further.
  case sequential
  /// Anywhere: don't read ahead.
  case random
}

/// Pages that go back to the system when the value goes. Page-aligned.
@safe package struct MappedMemory: ~Copyable, @unchecked Sendable {
  private let base: UnsafeMutableRawPointer?
  package let byteCount: Int
  /// What the pages are of, where they are a file's.
  package let file: MappedFile?

  /// The memory; good while the value lives.
  @unsafe package var bytes: UnsafeMutableRawBufferPointer {
    unsafe UnsafeMutableRawBufferPointer(start: base, count: byteCount)
  }

  /// Maps the first `byteCount` bytes of `file`, to be read only.
  ///
  /// - Parameter access: `mapped` or `mappedInPages`.
  package init(
    _ file: borrowing InputFile, byteCount: Int, access: FileAccess = .mapped
  ) throws(FileError) {
    self.byteCount = byteCount
    // The system refuses to map nothing.
    guard byteCount > 0 else {
      unsafe base = nil
      self.file = nil
      return
    }
    let mapped = try MappedFile(file, byteCount: byteCount, inPages: access == .mappedInPages)
    unsafe base = mapped.base
    self.file = mapped
  }

  /// Zeroed pages, for the contents of `path`.
  package init(byteCount: Int, for path: String) throws(FileError) {
    self.byteCount = byteCount
    file = nil
    guard byteCount > 0 else {
      unsafe base = nil
      return
    }
    guard let pages = unsafe cs_map(byteCount) else { throw .last("map", path) }
    unsafe base = pages
  }

  deinit {
    if let file {
      file.close()
    } else if let base = unsafe base {
      _ = unsafe munmap(base, byteCount)
    }
  }

  /// Tells the system how the pages will be read. Advice only: failure to take it is no error.
  package func advise(_ pattern: AccessPattern) {
    _ = unsafe madvise(base, byteCount, pattern == .sequential ? MADV_SEQUENTIAL : MADV_RANDOM)
  }

  /// Asks the system to bring a range of bytes, which is inside, into memory in the background.
  package func prefetch(_ range: Range<Int>) {
    guard let base = unsafe base, !range.isEmpty else { return }
    // The system wants the address of a page; rounding down to 64 KiB suits every page size.
    let start = range.lowerBound & ~0xFFFF
    _ = unsafe madvise(base + start, range.upperBound - start, MADV_WILLNEED)
  }
}
