// How much memory the machine has. Systems promise more than that, and end the process that takes them
// at their word: a size from a faulty file or a slip of a finger must not come so far.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

package enum SystemMemory {
  /// The bytes of memory of the machine; all there can be where the system does not tell.
  package static let bytes: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let size = sysconf(Int32(_SC_PAGESIZE))
    let (bytes, overflow) = pages.multipliedReportingOverflow(by: size)
    return pages > 0 && size > 0 && !overflow ? bytes : .max
  }()

  /// Checks that the machine could have `bytes` at all.
  ///
  /// - Throws: `outOfMemory`.
  package static func check(_ bytes: Int) throws(EmbedError) {
    guard bytes <= Self.bytes else { throw .outOfMemory(bytes: bytes) }
  }
}
