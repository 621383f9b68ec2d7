// The machine's CPU and caches, as the operating system tells them.

internal import CSystem
internal import EmbedKernel

/// Facts about this machine.
package enum Machine {
  /// A cache as the first CPU sees it.
  struct Cache: Equatable {
    let name: String
    let bytes: Int
    let sharedBy: Int
  }

  /// The features that this project's kernels, or OpenBLAS's, choose by.
  private static let notable = [
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512_bf16", "amx_bf16",
    "asimd", "sve", "bf16",
  ]

  /// The CPU's name; nil where the system does not tell.
  static var model: String? { CPUFacts.current.name }

  /// The seconds of CPUs that other programs have taken since the machine started, as a number to
  /// compare with a later one; nil where the system does not tell.
  static var secondsOfOthers: Double? {
    #if os(Linux)
      // RUSAGE_SELF, which glibc's header gives another type than its function takes.
      let thisProcess: CInt = 0
      var usage = rusage()
      guard let line = firstLine("/proc/stat"), let ticks = busyTicks(line),
        unsafe getrusage(thisProcess, &usage) == 0
      else { return nil }
      let own = [usage.ru_utime, usage.ru_stime].reduce(0.0) {
        $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6
      }
      return Double(ticks) / Double(max(sysconf(Int32(_SC_CLK_TCK)), 1)) - own
    #else
      return nil
    #endif
  }

  /// The number of CPUs that are on, whether this process may use them or not.
  static var onlineCPUs: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// The ticks that were neither idle nor waiting, of the line of all CPUs in /proc/stat: user, nice,
  /// system, and what interrupts and other virtual machines took.
  package static func busyTicks(_ line: String) -> Int? {
    let words = line.split(separator: " ")
    guard words.first == "cpu", words.count >= 9 else { return nil }
    var sum = 0
    for index in [1, 2, 3, 6, 7, 8] {
      guard let ticks = Int(words[index]) else { return nil }
      sum += ticks
    }
    return sum
  }

  /// The notable features the CPU has.
  static var features: [String] {
    #if os(Linux)
      let present = CPUFacts.current.features
      return notable.filter { present.contains($0) }
    #elseif arch(arm64)
      return ["asimd"]
    #else
      return []
    #endif
  }

  /// The data caches, the nearest first.
  static var caches: [Cache] {
    #if os(Linux)
      var caches: [Cache] = []
      for index in 0..<16 {
        let folder = "/sys/devices/system/cpu/cpu0/cache/index\(index)/"
        guard let level = firstLine(folder + "level"), let kind = firstLine(folder + "type"),
          let size = firstLine(folder + "size").flatMap(byteCount)
        else { break }
        guard kind != "Instruction" else { continue }
        let sharers = firstLine(folder + "shared_cpu_list").map(cpuCount) ?? 1
        caches.append(
          Cache(name: "L\(level)\(kind == "Data" ? "d" : "")", bytes: size, sharedBy: sharers))
      }
      return caches
    #else
      return []
    #endif
  }

  /// A size such as `32K`.
  package static func byteCount(_ text: String) -> Int? {
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    guard let last = text.last, let unit = units[last] else { return Int(text) }
    guard let count = Int(text.dropLast()) else { return nil }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: unit)
    return overflow ? nil : bytes
  }

  /// The number of CPUs in a list such as `0-3,8`.
  package static func cpuCount(_ list: String) -> Int {
    list.split(separator: ",").reduce(0) { count, range in
      let ends = range.split(separator: "-").compactMap { Int($0) }
      guard let first = ends.first, let last = ends.last, last >= first else { return count }
      return count + last - first + 1
    }
  }

  #if os(Linux)
    private static func firstLine(_ path: String) -> String? {
      TextFile.ofSystem(path)?.split(separator: "\n").first.map(String.init)
    }
  #endif
}
