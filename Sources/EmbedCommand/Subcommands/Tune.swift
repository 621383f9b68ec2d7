// `tune`: measures the limits by which `auto` chooses, and saves them for this machine.

internal import EmbedKernel

/// Measures and saves a tuning.
enum Tune: Subcommand {
  static let output = Option(
    "output", .text("FILE"), "Where the tuning is saved",
    otherwise: "the cache folder, where every program that uses the library finds it")
  static let seconds = Option(
    "seconds", .integer(in: 1...25), "How long to measure, 1 to 25", default: 20)
  /// What to do where other programs ran during the measurement.
  enum WhenBusy: String, CaseIterable, Sendable {
    case refuse
    case save
  }

  static let whenBusy = Option<WhenBusy>(
    "when-busy", .cases, "Whether to save what was measured while other programs ran",
    default: .refuse)

  /// The share of this machine's CPUs that an idle machine's own housekeeping stays below.
  private static let quiet = 0.05

  static let name = "tune"
  static let summary = "Measures what suits this machine, for auto to take."
  static let usage = ["[OPTIONS]"]
  static let about = [
    "Measures forward calls and sums of gradients on this machine and saves, for this CPU, from "
      + "which size on they gain from threads, from writing past the cache, from writing position by "
      + "position and from AVX2 in place of AVX-512, how far ahead and into which cache to prefetch, "
      + "and which backend is the fastest. "
      + "auto takes it from then on, in every program that uses the library; results stay the same, "
      + "bit for bit. What is not surely faster stays as built in: each change is measured again "
      + "next to it, and all of them together. Run it while nothing else runs.",
    "Without the file, or with EMBEDKERNEL_TUNING=off, built-in limits serve; a file that is "
      + "damaged or of another CPU is ignored. 'embedkernel info' shows which are in force.",
  ]
  static let groups = [OptionGroup("Tuning", [seconds, output, whenBusy])]

  static func run(_ arguments: Arguments) throws {
    let seconds = try arguments[seconds]
    if environment("EMBEDKERNEL_INSTRUCTION_SET").map({ $0 != "auto" }) ?? false {
      throw CommandError.usage(
        "a tuning is for all instruction sets: unset EMBEDKERNEL_INSTRUCTION_SET")
    }
    guard let machine = TunedMachine.current else {
      throw CommandError.data("the system does not tell the CPU's model, which a tuning is kept by")
    }
    let folder = TuningSource.cacheFolder
    guard
      let path = try arguments[output] ?? folder.map({ TuningSource.path($0, machine) })
    else {
      throw CommandError.usage(
        "there is no cache folder, as HOME is not set: name a file by --output")
    }
    // Before the measuring, which would be in vain.
    try TuningFile.makeFolder(for: path)
    // Two that measure at once would both measure the other.
    let lock = try FolderLock(containing: path)
    defer { withExtendedLifetime(lock) {} }
    let start = (ContinuousClock.now, Machine.secondsOfOthers ?? 0)
    let tuner = try Tuner(seconds: Double(seconds))
    let cpuSeconds = (.now - start.0) / .seconds(1) * Double(Machine.onlineCPUs)
    let others = ((Machine.secondsOfOthers ?? 0) - start.1) / cpuSeconds
    if others > quiet {
      let what =
        "other programs ran meanwhile (they took \(fixed(others * 100, 0))% of the CPUs' time)"
      guard try arguments[whenBusy] == .save else {
        throw CommandError.data(
          "\(what), so nothing is saved: run it again when the machine is quiet, or with "
            + "--when-busy save")
      }
      Report.standardError.line("embedkernel tune: \(what): the limits may be off")
    }
    try TuningFile(tuning: tuner.tuning, machine: machine).write(to: path)

    let report = Report.standardOutput
    report.line("\(machine)")
    report.line()
    var table = Table(.left, .left, .left, .right)
    table.add("", "built in", "here", "faster by")
    for finding in tuner.findings {
      let gain = finding.gain > 0 ? "\(fixed(finding.gain * 100, 0))%" : "unchanged"
      table.add(finding.title, finding.builtIn, finding.chosen, gain)
    }
    report.table(table)
    report.line()
    if tuner.isTakenBack {
      report.line("All changes together lost somewhere, so what is built in stays.")
    }
    report.line("Saved as '\(path)'.")
    if arguments.has(output) {
      report.line("To use it: EMBEDKERNEL_TUNING='\(path)'")
    }
  }
}
