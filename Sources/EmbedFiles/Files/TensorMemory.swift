// The tensors of a file in memory: the file's own pages, or a copy in which each is aligned. Formats say
// where their tensors lie and keep to what is behind this.

/// Memory of a file's tensors, mapped or copied, which goes back to the system when the value goes.
@safe struct TensorMemory: ~Copyable, Sendable {
  /// Where a tensor lies in its file, and what its address must be a multiple of to be read there.
  struct Place {
    var start: Int
    var byteCount: Int
    var alignment: Int
  }

  /// Whether the tensors are the file's own pages.
  let isMapped: Bool
  private let memory: MappedMemory
  /// Where each tensor is in `memory`.
  private let ranges: [Range<Int>]

  /// Maps the file, or reads each tensor to a multiple of 64 bytes: where that is asked for, and where one
  /// of them is not aligned as its elements have to be.
  ///
  /// - Parameter tensors: Places inside the file, in the order of their bytes.
  init(
    _ file: borrowing InputFile, _ tensors: [Place], access: FileAccess
  ) throws(FileError) {
    let isMapped =
      access != .copied
      && tensors.allSatisfy { $0.byteCount == 0 || $0.start.isMultiple(of: $0.alignment) }
    var ranges: [Range<Int>] = []
    ranges.reserveCapacity(tensors.count)
    var end = 0
    for tensor in tensors {
      // Cannot overflow: at most 64 bytes a tensor more than the file has.
      let start = isMapped ? tensor.start : (end + 63) & ~63
      ranges.append(start..<start + tensor.byteCount)
      end = max(end, start + tensor.byteCount)
    }
    let memory =
      isMapped
      ? try MappedMemory(file, byteCount: end, access: access)
      : try MappedMemory(byteCount: end, for: file.path)
    for (tensor, range) in zip(tensors, ranges) where !isMapped && tensor.byteCount > 0 {
      let bytes = unsafe UnsafeMutableRawBufferPointer(rebasing: memory.bytes[range])
      // The size was checked with the header, but the file may have shrunk since.
      guard try unsafe file.read(into: bytes, at: tensor.start) == tensor.byteCount else {
        throw .unsuitable(path: file.path, reason: "was cut short while it was read")
      }
    }
    self.isMapped = isMapped
    self.ranges = ranges
    self.memory = memory
  }

  /// The bytes of a tensor, by its index among the places.
  @unsafe func bytes(of index: Int) -> UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: memory.bytes[ranges[index]])
  }

  /// Throws where pages of the file were found to be lost or changed.
  func check(_ path: String) throws(FileError) {
    guard let fault = memory.file?.fault else { return }
    throw .unsuitable(path: path, reason: "cannot be read any more: \(fault.reason)")
  }

  /// Tells the system how the tensors will be read.
  func advise(_ pattern: AccessPattern) { memory.advise(pattern) }
}
