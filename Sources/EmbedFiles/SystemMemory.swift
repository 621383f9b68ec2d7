// How much memory there is to have. Systems promise more than that, and end the process that takes them
// at their word; the standard library ends it where an array gets none. So a size that comes from a
// file or an option is checked here before memory is taken for it.

internal import CSystem

package enum SystemMemory {
  /// The bytes of memory of the machine, or of the control group this process is in; all there can be
  /// where the system does not tell.
  package static let bytes: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES))
    let size = sysconf(Int32(_SC_PAGESIZE))
    let (bytes, overflow) = pages.multipliedReportingOverflow(by: size)
    let machine = pages > 0 && size > 0 && !overflow ? bytes : .max
    #if os(Linux)
      let limits = ["memory.max", "memory/memory.limit_in_bytes"].compactMap {
        TextFile.ofSystem("/sys/fs/cgroup/" + $0).flatMap { Int($0.prefix { $0.isNumber }) }
      }
      return limits.reduce(machine) { $1 > 0 ? min($0, $1) : $0 }
    #else
      return machine
    #endif
  }()

  /// Whether `bytes` can be had now.
  ///
  /// Sizes of less than 64 MiB are only held against `bytes`, which costs nothing; for larger ones the
  /// system is asked, some 50 microseconds.
  package static func has(_ bytes: Int) -> Bool {
    bytes <= Self.bytes && (bytes < large || bytes <= available && cs_has_address_space(bytes))
  }

  /// The most bytes that this process has held so far, or 0 where the system does not tell.
  package static var peak: Int { cs_peak_memory() }

  /// From here on the system is asked whether it can give so much.
  package static let large = 64 << 20

  /// What the system could give without ending a process for it.
  private static var available: Int {
    #if os(Linux)
      guard let text = TextFile.ofSystem("/proc/meminfo") else { return .max }
      var kilobytes = 0
      for line in text.split(separator: "\n") {
        let words = line.split(separator: " ")
        guard words.count >= 2, words[0] == "MemAvailable:" || words[0] == "SwapFree:" else {
          continue
        }
        kilobytes += Int(words[1]) ?? 0
      }
      return kilobytes > 0 ? kilobytes << 10 : .max
    #else
      return .max
    #endif
  }
}
