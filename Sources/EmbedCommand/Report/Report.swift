// Where words for people go: standard output, or standard error while standard output may be the
// output file.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// A stream for a report.
enum Report {
  case standardOutput
  case standardError

  /// Writes a line.
  func line(_ text: String = "") { write(text + "\n") }

  /// Writes a table's lines.
  func table(_ table: Table) { write(table.lines.map { $0 + "\n" }.joined()) }

  /// Writes text as it is. Ends the process with 1 where standard output takes no more, as on a full
  /// disk: a report cut short must not pass for a whole one.
  func write(_ text: String) {
    let descriptor: CInt = self == .standardOutput ? 1 : 2
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe systemWrite(descriptor, $0.baseAddress, $0.count)
      }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if count < 0, errno == EINTR {
        continue
      } else {
        guard self == .standardOutput else { return }
        let reason = unsafe String(cString: strerror(errno))
        Report.standardError.line("embedkernel: cannot write to standard output: \(reason)")
        exit(1)
      }
    }
  }
}

// Outside the type, where `write` still means the system's.
private func systemWrite(_ file: CInt, _ base: UnsafeRawPointer?, _ count: Int) -> Int {
  unsafe write(file, base, count)
}

/// The size of a regular file; nil for pipes, devices and what cannot be looked at.
func fileSize(_ path: String) -> Int? {
  var status = stat()
  guard unsafe stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
  return Int(status.st_size)
}

/// An environment variable, nil where it is unset or empty.
func environment(_ name: String) -> String? {
  guard let value = unsafe getenv(name) else { return nil }
  let text = unsafe String(cString: value)
  return text.isEmpty ? nil : text
}
