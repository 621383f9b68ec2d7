// Memory that is there, or an error of this library: `SystemMemory` tells, these throw.

extension SystemMemory {
  /// Checks that `bytes` can be had now, as `has(_:)` tells.
  ///
  /// - Throws: `outOfMemory`.
  package static func check(_ bytes: Int) throws(EmbedError) {
    guard has(bytes) else { throw .outOfMemory(bytes: bytes) }
  }

  /// `count` of an element, where there is memory for them.
  ///
  /// - Throws: `sizeOverflow`, `outOfMemory`.
  package static func array<Element>(
    _ element: Element, count: Int, _ name: @autoclosure () -> String = "array"
  ) throws(EmbedError) -> [Element] {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
    guard !overflow else {
      throw .sizeOverflow(argument: name(), factors: [count, MemoryLayout<Element>.stride])
    }
    try check(bytes)
    return [Element](repeating: element, count: count)
  }
}
