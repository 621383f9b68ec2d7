// A tuning as a file: JSON that names the machine it was measured on. Reading it is total: whatever
// the bytes, it gives a tuning whose values are within bounds, or an error that says why not.

/// Why a tuning file does not count.
package enum TuningFileError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The system does not give its bytes.
  case unreadable(FileError)
  /// It has more bytes than any tuning.
  case tooLong(bytes: Int)
  /// Its bytes are no JSON.
  case malformed(JSONError)
  /// A field is missing, of the wrong type or out of bounds.
  case invalidField(field: String, found: String, expected: String)
  /// It was measured on another machine.
  case otherMachine(found: String, expected: String)

  package var description: String {
    switch self {
    case .unreadable(let error): "\(error)"
    case .tooLong(let bytes): "\(bytes) bytes are more than a tuning has"
    case .malformed(let error): "\(error)"
    case .invalidField(let field, let found, let expected):
      "\(field) is \(found): expected \(expected)"
    case .otherMachine(let found, let expected):
      "measured on \(found), and this is \(expected)"
    }
  }
}

/// A tuning and the machine it holds for.
package struct TuningFile: Equatable, Sendable {
  package var tuning: Tuning
  package var machine: TunedMachine

  package init(tuning: Tuning, machine: TunedMachine) {
    self.tuning = tuning
    self.machine = machine
  }

  private static let format = 3
  /// Ten times what the writer writes.
  private static let longest = 8 << 10

  /// A number's name in the file and its bounds, outside of which it is no measurement.
  private struct Limit {
    let name: String
    let path: any WritableKeyPath<Tuning, Int> & Sendable
    let bounds: ClosedRange<Int>
  }

  private static let limits = [
    Limit(name: "parallel_bytes", path: \.parallelBytes, bounds: 1 << 10...Tuning.never),
    Limit(name: "streaming_bytes", path: \.streamingBytes, bounds: 1 << 16...Tuning.never),
    Limit(name: "prefetch_rows", path: \.prefetchRows, bounds: 1...256),
    Limit(name: "prefetch_limit", path: \.prefetchLimit, bounds: 1 << 10...1 << 24),
    Limit(name: "near_bytes", path: \.nearBytes, bounds: 0...1 << 20),
    Limit(name: "by_position_bytes", path: \.byPositionBytes, bounds: 1 << 10...Tuning.never),
    Limit(name: "update_bytes_ahead", path: \.updateBytesAhead, bounds: 1 << 10...1 << 20),
    Limit(name: "update_near_bytes", path: \.updateNearBytes, bounds: 0...1 << 20),
    Limit(name: "avx2_dim", path: \.avx2Dim, bounds: 16...Tuning.never),
    Limit(name: "avx2_bytes", path: \.avx2Bytes, bounds: 1 << 16...Tuning.never),
  ]

  private static let backends:
    [(name: String, path: any WritableKeyPath<Tuning, Backend> & Sendable)] =
      [
        ("small_backend", \.backends.small), ("medium_backend", \.backends.medium),
        ("large_backend", \.backends.large),
      ]
}

extension TuningFile {
  /// Reads a file that must be for `machine`.
  package init(reading path: String, for machine: TunedMachine) throws(TuningFileError) {
    let size: Int
    let bytes: [UInt8]
    do throws(FileError) {
      let file = try InputFile(path)
      size = file.byteCount
      bytes = try file.bytes(at: 0, count: Self.longest)
    } catch {
      throw .unreadable(error)
    }
    guard size <= Self.longest else { throw .tooLong(bytes: size) }
    try self.init(parsing: bytes, for: machine)
  }

  /// Takes the bytes of a file apart.
  package init(parsing bytes: [UInt8], for machine: TunedMachine) throws(TuningFileError) {
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue(parsing: bytes)
    } catch {
      throw .malformed(error)
    }
    _ = try Self.integer(json, "format", Self.format...Self.format)
    guard case .string(let cpu)? = json["cpu"] else {
      throw .invalidField(
        field: "cpu", found: json["cpu"]?.summary ?? "missing", expected: "a CPU's name")
    }
    let found = TunedMachine(
      cpu: cpu, threads: try Self.integer(json, "threads", 1...Int.max))
    guard found == machine else {
      throw .otherMachine(found: "\(found)", expected: "\(machine)")
    }
    var tuning = Tuning()
    for limit in Self.limits {
      tuning[keyPath: limit.path] = try Self.integer(json, limit.name, limit.bounds)
    }
    for (name, path) in Self.backends {
      guard case .string(let text)? = json[name], let backend = Backend(rawValue: text) else {
        throw .invalidField(
          field: name, found: json[name]?.summary ?? "missing",
          expected: Backend.allCases.map(\.rawValue).joined(separator: ", "))
      }
      tuning[keyPath: path] = backend
    }
    self.init(tuning: tuning, machine: machine)
  }

  private static func integer(
    _ json: JSONValue, _ name: String, _ bounds: ClosedRange<Int>
  ) throws(TuningFileError) -> Int {
    guard case .integer(let value)? = json[name], bounds.contains(value) else {
      throw .invalidField(
        field: name, found: json[name]?.summary ?? "missing",
        expected: bounds.count == 1
          ? "\(bounds.lowerBound)"
          : "an integer of \(bounds.lowerBound) to \(bounds.upperBound)")
    }
    return value
  }

  /// The file's text.
  package var text: String {
    var members = [
      ("format", "\(Self.format)"), ("cpu", machine.cpu.json),
      ("threads", "\(machine.threads)"),
    ]
    members += Self.limits.map { ($0.name, "\(tuning[keyPath: $0.path])") }
    members += Self.backends.map { ($0.name, tuning[keyPath: $0.path].rawValue.json) }
    return "{\n" + members.map { "  \"\($0.0)\": \($0.1)" }.joined(separator: ",\n") + "\n}\n"
  }

  /// Makes the folder of a file that is to be written later.
  package static func makeFolder(for path: String) throws(FileError) {
    try Folders.make(for: path)
  }

  /// Writes the file, which appears whole or not at all; its folder is made where it is missing.
  package func write(to path: String) throws(FileError) {
    try Folders.make(for: path)
    try TextFile.write(text, to: path)
  }
}
