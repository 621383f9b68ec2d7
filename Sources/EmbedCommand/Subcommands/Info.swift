// `info`: what this machine offers, and what the library makes of it.

internal import EmbedFiles
internal import EmbedKernel

/// Reports CPU, caches, OpenBLAS, the choices of `auto` and the speed of memory.
enum Info: Subcommand {
  static let name = "info"
  static let summary = "This machine, the backends, and the speed of its memory."
  static let usage = ["[--check | --check-here]"]
  static let about = [
    "Shows the CPU and its caches, the instruction set of the native backend, what auto takes for "
      + "a few shapes, the OpenBLAS in use, and how fast memory copies rows: the ceiling of every "
      + "forward call. Takes less than a second.",
    "With --check instead: holds every routine of OpenBLAS and LAPACK that is used to plain loops, in a "
      + "child process, and says what to do where one computes wrongly or crashes; exit code 1 then.",
  ]
  static let check = Option(switch: "check", "Whether OpenBLAS computes right on this CPU")
  static let checkHere = Option(
    switch: "check-here", "The same in this process, a line a step: a crash ends it")
  static let groups = [OptionGroup("OpenBLAS", [check, checkHere])]

  /// Shapes that show where `auto` changes its mind.
  private static let shapes = [
    EmbeddingShape(vocabulary: 50_257, batch: 8, context: 4, dim: 256),
    EmbeddingShape(vocabulary: 50_257, batch: 1, context: 1024, dim: 768),
    EmbeddingShape(vocabulary: 50_257, batch: 8, context: 1024, dim: 768),
    EmbeddingShape(vocabulary: 50_257, batch: 4, context: 2048, dim: 1024),
    EmbeddingShape(vocabulary: 128_256, batch: 1, context: 4096, dim: 2048),
  ]

  static func run(_ arguments: Arguments) throws {
    if arguments.has(checkHere) { return try BLASReport.runHere() }
    if arguments.has(check) { return try BLASReport.run() }
    // First of all: an environment that chooses what cannot be had ends the report before it begins.
    let choices = try shapes.map { try Kernels.auto.plan(for: $0) }
    let report = Report.standardOutput
    let caches = Machine.caches.map { cache in
      let shared = cache.sharedBy > 1 ? ", shared by \(cache.sharedBy)" : ""
      return "\(cache.name) \(formatted(memory: cache.bytes))\(shared)"
    }
    let available = InstructionSet.allCases.filter(\.isAvailable).map(\.rawValue)
    let inForce = try InstructionSet.ofProcess.rawValue
    report.table(
      Table(facts: [
        "CPU": Machine.model ?? "unknown", "features": Machine.features.joined(separator: " "),
        "CPUs to use": "\(Threads.available)",
        "caches": caches.isEmpty ? "unknown" : caches.joined(separator: "; "),
        "native backend": "\(available.joined(separator: ", ")); in force: \(inForce)",
        "OpenBLAS": OpenBLASLibrary.configuration,
        "": "core \(OpenBLASLibrary.core), \(plural(OpenBLASLibrary.threads, "thread")), "
          + "threading by \(OpenBLASLibrary.threading)",
      ]))
    if let advice = BLASCore.advice(
      core: OpenBLASLibrary.core, features: Machine.features,
      chosen: environment("OPENBLAS_CORETYPE"))
    {
      report.line("OpenBLAS: " + advice + ".")
    }

    report.line()
    showTuning(report)

    report.line()
    report.line("What auto takes")
    var plans = Table(.right, .right, .right, .right, .right, .left, .left, .left)
    plans.add("vocabulary", "batch", "context", "dim", "output", "backend", "threads", "writes")
    for (shape, plan) in zip(shapes, choices) {
      plans.add(
        "\(shape.vocabulary)", "\(shape.batch)", "\(shape.context)", "\(shape.dim)",
        formatted(bytes: shape.batch * shape.context * shape.dim * 4),
        ([plan.backend.rawValue] + (plan.instructionSet.map { [$0.rawValue] } ?? []))
          .joined(separator: " "),
        "\(plan.threads)", plan.isStreaming ? "past the cache" : "through the cache")
    }
    report.table(plans)

    report.line()
    report.line(
      "Speed of memory: rows of 3 KB copied, \(formatted(memory: MemoryCeiling.size)) to "
        + "\(formatted(memory: MemoryCeiling.size)), read + written")
    let ceiling = try MemoryCeiling()
    var speeds = Table(.left, .right, .right)
    speeds.add("threads", "in order", "at random")
    for threads in Set([1, Threads.available]).sorted() {
      let ordered = try ceiling.speed(.sequential, threads: threads)
      let random = try ceiling.speed(.random, threads: threads)
      speeds.add(
        "\(threads)", "\(fixed(ordered / 1e9, 1)) GB/s", "\(fixed(random / 1e9, 1)) GB/s")
    }
    report.table(speeds)
  }

  /// The limits in force and where they come from.
  private static func showTuning(_ report: Report) {
    let source = TuningSource.ofProcess
    report.line("Tuning: \(source.origin)")
    let tuning = source.tuning
    var limits = Table(.left, .left)
    limits.add("threads from", Tuning.shown(bytes: tuning.parallelBytes))
    limits.add("past the cache from", Tuning.shown(bytes: tuning.streamingBytes))
    limits.add("by position from", Tuning.shown(bytes: tuning.byPositionBytes))
    limits.add("prefetch", "\(RowPrefetch(tuning))")
    limits.add("prefetch of updates", "\(UpdatePrefetch(tuning))")
    limits.add("in cache by AVX2 from", Tuning.shown(dim: tuning.avx2Dim))
    limits.add("large by AVX2 from", Tuning.shown(bytes: tuning.avx2Bytes))
    limits.add(
      "small, medium, large",
      [tuning.backends.small, tuning.backends.medium, tuning.backends.large]
        .map(\.rawValue).joined(separator: ", "))
    report.table(limits)
  }
}
