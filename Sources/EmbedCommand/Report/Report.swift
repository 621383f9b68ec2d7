// Where words for people go: standard output, or standard error while standard output may be the
// output file.

internal import CSystem
internal import EmbedKernel

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
    let code = writeFully(text, to: self == .standardOutput ? 1 : 2)
    guard code != 0, self == .standardOutput else { return }
    let reason = unsafe String(cString: strerror(code))
    Report.standardError.line("embedkernel: cannot write to standard output: \(reason)")
    exit(1)
  }

  /// Writes a result to the file at `path`, or to standard output where there is none.
  static func deliver(_ text: String, to path: String?) throws {
    if let path {
      try TextFile.write(text, to: path)
    } else {
      Report.standardOutput.write(text)
    }
  }
}

/// Hands all of `text` to the system.
///
/// - Returns: 0, or the code of what went wrong.
func writeFully(_ text: String, to file: CInt) -> CInt {
  let bytes = Array(text.utf8)
  let isWritten = unsafe bytes.withUnsafeBytes {
    unsafe cs_write(file, $0.baseAddress, $0.count, -1)
  }
  return isWritten ? 0 : cs_error()
}
