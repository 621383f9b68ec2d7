// `info --check`: OpenBLAS's routines against plain loops, in a child process, as a kernel that the CPU
// does not bear ends the process that calls it.
//
// The child writes a line when a routine begins and one when it ends; a routine that never ends is the
// one that crashed or hangs.

internal import CSystem
internal import EmbedKernel

enum BLASReport {
  private static let secondsToWait = 300

  /// Runs the checks in this process: the child's part.
  static func runHere() throws {
    try OpenBLASLibrary.open()
    Report.standardOutput.line("library \(OpenBLASLibrary.configuration)")
    Report.standardOutput.line("core \(OpenBLASLibrary.core)")
    let hosts = OpenBLASLibrary.threads
    for check in BLASCheck.all {
      Report.standardOutput.line("begin \(check.routine)")
      var outcome = BLASCheck.Outcome.right(cases: 0)
      // As this library's passes call it, and as a host program may.
      for threads in Set([1, hosts]).sorted() {
        try OpenBLASLibrary.setThreads(threads)
        let found = try check.run()
        if case .wrong(let fault) = found {
          outcome = .wrong("on \(plural(threads, "thread")), \(fault)")
          break
        }
        outcome = found
      }
      switch outcome {
      case .right(let cases): Report.standardOutput.line("right \(check.routine) \(cases)")
      case .wrong(let fault): Report.standardOutput.line("wrong \(check.routine) \(fault)")
      }
    }
  }

  /// Runs the checks in a child and reports them.
  ///
  /// - Throws: `CommandError.data` that says what is wrong and what to do, where anything is.
  static func run() throws {
    let (output, ending) = try child()
    let verdict = BLASVerdict(output: output, ending: ending)
    let report = Report.standardOutput
    report.table(
      Table(facts: [
        "CPU": Machine.model ?? "unknown", "OpenBLAS": verdict.library, "": "core \(verdict.core)",
      ]))
    report.line()
    var table = Table(.left, .left, .left)
    for line in verdict.lines { table.add(line.routine, line.outcome, line.detail) }
    report.table(table)
    report.line()
    guard let message = verdict.message(cpu: Machine.model ?? "unknown") else {
      return report.line("OpenBLAS computes right on this CPU.")
    }
    throw CommandError.data(message)
  }

  /// Runs this program again and gives its output, and how it ended where that was not well.
  private static func child() throws -> (output: String, ending: String?) {
    var ends: [CInt] = [0, 0]
    guard unsafe pipe(&ends) == 0 else { throw CommandError.data("no pipe for the check") }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe _ = posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    unsafe posix_spawn_file_actions_addclose(&actions, ends[0])
    unsafe posix_spawn_file_actions_addclose(&actions, ends[1])
    let program = CommandLine.arguments.first ?? "embedkernel"
    #if os(Linux)
      let path = "/proc/self/exe"
    #else
      let path = program
    #endif
    let line: [String] = [program, Info.name, "--\(Info.checkHere.name)"]
    var words: [UnsafeMutablePointer<CChar>?] = unsafe line.map { unsafe strdup($0) }
    unsafe words.append(nil)
    defer { unsafe words.forEach { unsafe free($0) } }
    var process: pid_t = 0
    let code = unsafe posix_spawnp(&process, path, &actions, nil, &words, cs_environment())
    close(ends[1])
    guard code == 0 else {
      close(ends[0])
      throw CommandError.data("cannot run the check: \(unsafe String(cString: strerror(code)))")
    }
    let (output, isWhole) = read(ends[0], seconds: secondsToWait)
    close(ends[0])
    if !isWhole { kill(process, SIGKILL) }
    var status: CInt = 0
    while unsafe waitpid(process, &status, 0) < 0, cs_error() == EINTR {}
    if !isWhole { return (output, "did not end within \(secondsToWait) s") }
    let signal = status & 0x7F
    if signal != 0 {
      return (output, "crashed: \(unsafe String(cString: strsignal(signal)))")
    }
    let exitCode = status >> 8 & 0xFF
    return (output, exitCode == 0 ? nil : "ended with exit code \(exitCode)")
  }

  /// All that comes from a file until its end, or until the time is over.
  private static func read(_ file: CInt, seconds: Int) -> (text: String, isWhole: Bool) {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let end = ContinuousClock.now + .seconds(seconds)
    while ContinuousClock.now < end {
      var wanted = pollfd(fd: file, events: Int16(POLLIN), revents: 0)
      guard unsafe poll(&wanted, 1, 200) > 0 else { continue }
      let count = unsafe cs_read_some(file, &buffer, buffer.count)
      if count == 0 { return (String(decoding: bytes, as: UTF8.self), true) }
      if count > 0 { bytes += buffer[..<count] } else if cs_error() != EINTR { break }
    }
    return (String(decoding: bytes, as: UTF8.self), false)
  }
}
