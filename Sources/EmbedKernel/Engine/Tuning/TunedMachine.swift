// What a tuning is bound to: the CPU's model and how many CPUs the process may use. Another model
// has other caches, and a process pinned to one CPU has no use for threads.

internal import CSystem

/// A machine, as far as a tuning depends on it.
package struct TunedMachine: Hashable, Sendable, CustomStringConvertible {
  /// The CPU's name, with family, model and stepping where the system tells them.
  package var cpu: String
  /// The CPUs to use.
  package var threads: Int

  package init(cpu: String, threads: Int) {
    self.cpu = cpu
    self.threads = threads
  }

  /// This process's machine; nil where the system does not tell the CPU.
  package static var current: TunedMachine? {
    CPUFacts.current.identity.map { TunedMachine(cpu: $0, threads: Threads.available) }
  }

  package var description: String { "\(cpu) with \(threads) CPU\(threads == 1 ? "" : "s") to use" }

  /// A name for its file: lower-case letters, digits and dashes.
  package var fileName: String {
    var name = "tuning"
    var gap = true
    for byte in cpu.utf8 {
      let lower = byte | 0x20
      let isDigit = (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      guard isDigit || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(lower) else {
        gap = true
        continue
      }
      if gap { name += "-" }
      gap = false
      name.unicodeScalars.append(Unicode.Scalar(isDigit ? byte : lower))
    }
    // Names of files are limited; what is cut off still counts, inside the file.
    return "\(name.prefix(160))-\(threads)-cpus.json"
  }
}

/// What the system tells about the first CPU.
package struct CPUFacts: Sendable {
  /// The name it is sold by; nil where the system does not tell.
  package var name: String?
  /// The name with what tells models of one name apart.
  package var identity: String?
  /// What it can do, by the system's names.
  package var features: Set<String> = []

  package static var current: CPUFacts {
    #if os(Linux)
      // The first CPU's part is at the beginning; a machine may have hundreds.
      return TextFile.ofSystem("/proc/cpuinfo", limit: 16 << 10).map(CPUFacts.init(parsing:))
        ?? CPUFacts()
    #else
      let name = systemControl("machdep.cpu.brand_string")
      return CPUFacts(name: name, identity: name)
    #endif
  }

  #if os(Linux)
    private static let telling = [
      "cpu family", "model", "stepping", "CPU implementer", "CPU variant", "CPU revision",
    ]

    /// Takes the text of `/proc/cpuinfo` apart.
    package init(parsing text: String) {
      var facts: [String: String] = [:]
      for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
        let parts = line.split(separator: ":", maxSplits: 1)
        // A CPU's part ends with an empty line.
        if parts.isEmpty, !facts.isEmpty { break }
        guard parts.count == 2 else { continue }
        facts[Self.trimmed(parts[0])] = Self.trimmed(parts[1])
      }
      name = facts["model name"] ?? facts["CPU part"].map { "part \($0)" }
      let details = Self.telling.compactMap { key in facts[key].map { "\(key) \($0)" } }
      identity = name.map { ([$0] + details).joined(separator: ", ") }
      let flags = facts["flags"] ?? facts["Features"] ?? ""
      features = Set(flags.split(separator: " ").map(String.init))
    }

    private static func trimmed(_ text: Substring) -> String {
      let isSpace = { (character: Character) in character == " " || character == "\t" }
      var text = text.drop(while: isSpace)
      while let last = text.last, isSpace(last) { text.removeLast() }
      return String(text)
    }
  #else
    private static func systemControl(_ name: String) -> String? {
      var size = 0
      guard unsafe sysctlbyname(name, nil, &size, nil, 0) == 0, size > 1 else { return nil }
      var text = [UInt8](repeating: 0, count: size)
      guard unsafe sysctlbyname(name, &text, &size, nil, 0) == 0 else { return nil }
      return String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
    }
  #endif

  private init(name: String? = nil, identity: String? = nil) {
    self.name = name
    self.identity = identity
  }
}
