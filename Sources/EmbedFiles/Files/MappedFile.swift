// A file in memory as calls read it: what becomes of its pages, and of faults in them.
//
// A page that cannot be read, since the file was cut short or the disk failed, makes the system send
// SIGBUS. Between `enter` and `leave` that is a fault of the call and ends nothing; see CSystemMapping.h.

internal import CSystem

/// A mapping that somebody keeps; good while they do.
@safe package struct MappedFile: Equatable, @unchecked Sendable {
  private let mapping: OpaquePointer
  package let byteCount: Int

  /// Maps the first `byteCount` bytes, 1 or more.
  init(_ file: borrowing InputFile, byteCount: Int, inPages: Bool) throws(FileError) {
    guard
      let made = unsafe cs_mapping_make(file.descriptor, byteCount, file.path, inPages)
    else { throw .last("map", file.path) }
    unsafe mapping = made
    self.byteCount = byteCount
  }

  /// The mapping that memory lies in; nil for memory of no file.
  package init?(of memory: UnsafeRawBufferPointer) {
    guard let found = unsafe cs_mapping_of(memory.baseAddress, memory.count) else { return nil }
    unsafe mapping = found
    byteCount = unsafe cs_mapping_size(found)
  }

  package static func == (a: MappedFile, b: MappedFile) -> Bool { unsafe a.mapping == b.mapping }

  func close() { unsafe cs_mapping_free(mapping) }

  /// Where byte 0 of the file is.
  @unsafe package var base: UnsafeMutableRawPointer {
    unsafe cs_mapping_address(mapping).unsafelyUnwrapped
  }

  package var path: String { unsafe String(cString: cs_mapping_path(mapping)) }

  /// What is wrong with a mapping, and where in the file that was found.
  package struct Fault: Equatable {
    package let offset: Int
    package let reason: String
  }

  /// The first fault; nil where all is well. From the first on no call reads the mapping.
  package var fault: Fault? {
    var offset = 0
    let reason =
      switch unsafe cs_mapping_fault(mapping, &offset) {
      case cs_no_fault: nil as String?
      case cs_fault_shorter: "the file was cut short while it was mapped"
      case cs_fault_changed: "the file was written to while it was mapped, or its time was set"
      case cs_fault_examined: "the system does not tell the file's size"
      default: "a page of the file could not be read: it was cut short, or the disk failed"
      }
    return reason.map { Fault(offset: offset, reason: $0) }
  }

  /// Begins a call that reads; false, and there is no call, where the mapping has a fault.
  package func enter() -> Bool { unsafe cs_mapping_enter(mapping) }

  /// Ends a call; false where what it read has no meaning.
  package func leave() -> Bool { unsafe cs_mapping_leave(mapping) }

  /// Asks for bytes to be read, and does not wait. Within a call, as all that follows.
  package func ask(_ range: Range<Int>) {
    unsafe cs_mapping_ask(mapping, range.lowerBound, range.count)
  }

  /// Waits until bytes are in memory, and maps their pages; false where one cannot be read.
  package func fill(_ range: Range<Int>) -> Bool {
    unsafe cs_mapping_fill(mapping, range.lowerBound, range.count)
  }

  /// Reads bytes, and others of their large pages, into the page cache, which holds them in large pages then.
  package func readLarge(_ range: Range<Int>) {
    unsafe cs_mapping_read_large(mapping, range.lowerBound, range.count)
  }

  /// Gives pages back, of this process and of the page cache.
  package func drop(_ range: Range<Int>) {
    unsafe cs_mapping_drop(mapping, range.lowerBound, range.count)
  }

  /// Takes pages from this process; the page cache keeps them.
  package func unmap(_ range: Range<Int>) {
    unsafe cs_mapping_unmap(mapping, range.lowerBound, range.count)
  }

  /// A bit for each of up to 16 pages: whether the page cache has it.
  package func cached(_ range: Range<Int>) -> UInt32 {
    unsafe cs_mapping_cached(mapping, range.lowerBound, range.count)
  }

  /// The bytes of a page.
  package static let pageSize = sysconf(Int32(_SC_PAGESIZE))
}
