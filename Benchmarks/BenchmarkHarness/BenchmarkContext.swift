// Facts for the report's context block beside those that Google Benchmark finds itself (CPU,
// caches, load, date): what the figures depend on and can be read cheaply.

internal import CGoogleBenchmark
internal import Foundation

internal enum BenchmarkContext {
  /// Key and value, in the order of the report.
  static func facts() -> [(String, String)] {
    var facts = [
      ("commit", commit() ?? "unknown"), ("build", build), ("toolchain", toolchain),
      ("processors", "\(ProcessInfo.processInfo.activeProcessorCount)"),
    ]
    if let model = field("model name", of: "/proc/cpuinfo") {
      facts.append(("cpu", model))
    }
    // The processors that the kernel lets this process run on, as in `0-3,8`.
    if let pinned = field("Cpus_allowed_list", of: "/proc/self/status") {
      facts.append(("pinned_to", pinned))
    }
    // Virtual machines mostly have none to show.
    let governor = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    facts.append(("governor", governor ?? "not shown"))
    if let pages = text("/sys/kernel/mm/transparent_hugepage/enabled") {
      facts.append(("transparent_hugepages", chosen(in: pages)))
    }
    return facts
  }

  private static var build: String {
    #if DEBUG
      "debug"
    #else
      "release"
    #endif
  }

  /// The compiler's C side names its exact version; Swift tells only its language version.
  private static var toolchain: String {
    let compiler = unsafe String(cString: gb_compiler())
    #if compiler(>=6.4)
      return "Swift 6.4 or later, \(compiler)"
    #elseif compiler(>=6.3)
      return "Swift 6.3, \(compiler)"
    #else
      return "Swift 6.2, \(compiler)"
    #endif
  }

  /// The commit of the working tree that the executable lies in, with `-dirty` if it differs.
  private static func commit() -> String? {
    guard let executable = Bundle.main.executableURL else { return nil }
    let git = Process()
    git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    git.arguments = [
      "git", "-C", executable.deletingLastPathComponent().path, "describe", "--always", "--dirty",
      "--abbrev=12", "--exclude=*",
    ]
    let output = Pipe()
    git.standardOutput = output
    git.standardError = FileHandle.nullDevice
    do {
      try git.run()
      let data = try output.fileHandleForReading.readToEnd() ?? Data()
      git.waitUntilExit()
      guard git.terminationStatus == 0 else { return nil }
      return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    } catch {
      return nil
    }
  }

  private static func text(_ path: String) -> String? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
  }

  /// The value of the first line `name : value`.
  private static func field(_ name: String, of path: String) -> String? {
    for line in text(path)?.split(separator: "\n") ?? [] where line.hasPrefix(name) {
      guard let colon = line.firstIndex(of: ":") else { continue }
      return line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    return nil
  }

  /// `always [madvise] never` gives `madvise`.
  static func chosen(in choices: String) -> String {
    guard let open = choices.firstIndex(of: "["),
      let close = choices[open...].firstIndex(of: "]")
    else { return choices }
    return String(choices[choices.index(after: open)..<close])
  }
}
