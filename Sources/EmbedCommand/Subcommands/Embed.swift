// `embed`: input embeddings of a text or of NumPy's arrays, to a file or as a report.

internal import EmbedKernel

/// Computes input embeddings.
enum Embed: Subcommand {
  static let name = "embed"
  static let summary = "Input embeddings of a text, or of ids and tables in .npy files."
  static let usage = [
    "--text FILE [--output OUT.npy] [OPTIONS]",
    "--token-ids IDS.npy --token-table TABLE.npy [--position-table TABLE.npy] "
      + "[--output OUT.npy] [OPTIONS]",
  ]
  static let about = [
    "Computes output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :], and with "
      + "the options of the fused layer dropout(normalize(that + segments[segment-ids[b, t], :])).",
    "With --text, ids are the first windows of the text and tables are drawn from the seed. With "
      + "--token-ids, all arrays come from files.",
    "Without --output it shows the shapes, a few values, and the time that each backend takes.",
  ]

  static func run(_ arguments: Arguments) throws {
    let kernels = try ComputeOptions.kernels(arguments)
    let type = try arguments[outputType]
    let job = try job(arguments)
    let path = try arguments[output]
    switch type {
    case .float32: try run(job, kernels, to: path, as: Float.self)
    case .bfloat16: try run(job, kernels, to: path, as: BFloat16.self)
    case .float16: try run(job, kernels, to: path, as: Half.self)
    }
  }

  private static func run<Output: TableElement>(
    _ job: EmbedJob, _ kernels: Kernels, to path: String?, as type: Output.Type
  ) throws {
    var output = try job.makeOutput(type)
    try job.run(into: &output, using: kernels)
    guard let path else {
      let report = Report.standardOutput
      show(job, type, to: report)
      try showValues(job, output, to: report)
      try showTimes(job, kernels, output, to: report)
      return
    }
    try NumPyFile.write(output.span, shape: job.shape, to: path)
    show(job, type, to: .standardError, output: path)
  }

  /// The form that the arguments choose; options of the other form are refused.
  private static func job(_ arguments: Arguments) throws -> EmbedJob {
    let shared = try LayerSettings(arguments)
    if shared.scheme == .nothing {
      try arguments.refuse(placeOptions, "does not fit here: no positions are added")
    }
    if let text = try arguments[text] {
      try arguments.refuse(
        arrayGroup.options, "does not fit here: --text draws its own tables")
      return try EmbedJob(text: text, arguments, shared)
    }
    guard let ids = try arguments[LayerOptions.tokenIDs] else {
      throw CommandError.usage("--text or --token-ids is needed")
    }
    guard let table = try arguments[tokenTable] else {
      throw CommandError.usage("--token-ids needs --token-table")
    }
    let hasTable = arguments.has(positionTable)
    let computes = shared.scheme == .sinusoidal
    try arguments.refuse(
      textGroup.options.filter { $0.name != maximumContext.name || !computes },
      "does not fit here: sizes come from the files")
    switch (shared.scheme, hasTable) {
    case (.learned, false): throw CommandError.usage("--positions learned needs --position-table")
    case (.sinusoidal, true), (.nothing, true):
      throw CommandError.usage("--position-table is for --positions learned")
    case (nil, false):
      try arguments.refuse(
        placeOptions,
        "does not fit here: no positions are added; give --position-table or --positions sinusoidal"
      )
    default: break
    }
    return try EmbedJob(ids: ids, table: table, arguments, shared)
  }
}

// MARK: Report

extension Embed {
  private static func show<Output: TableElement>(
    _ job: EmbedJob, _ type: Output.Type, to report: Report, output: String? = nil
  ) {
    var table = Table(.left, .left, .left, indent: 0)
    for fact in job.facts { table.add(fact.what, fact.shape, fact.remark) }
    let name = "\(type.numPyType)"
    let remark = output.map { "\(name), written to '\($0)'" } ?? name
    let bytes = job.shape.reduce(MemoryLayout<Output>.stride, *)
    table.add("input embeddings", "\(job.shape)", "\(remark), \(formatted(bytes: bytes))")
    report.table(table)
  }

  private static func showValues<Output: TableElement>(
    _ job: EmbedJob, _ output: borrowing AlignedBuffer<Output>, to report: Report
  ) throws {
    guard output.count > 0 else { return }
    report.line()
    report.line("First values")
    var table = Table(.left, .right, .left)
    let dim = job.layer.dim
    for token in 0..<min(job.tokens.ids.count, 4) {
      var values = [Float](repeating: 0, count: dim)
      var span = values.mutableSpan
      try Kernels.auto.convert(
        output.span.extracting(token * dim..<(token + 1) * dim), into: &span)
      table.add(
        "[\(token / job.tokens.context), \(token % job.tokens.context), :]",
        "id \(job.tokens.ids[token])", preview(values.span))
    }
    report.table(table)
  }

  /// Times the backend that was asked for, or all of them, and compares their bits.
  private static func showTimes<Output: TableElement>(
    _ job: EmbedJob, _ kernels: Kernels, _ output: borrowing AlignedBuffer<Output>,
    to report: Report
  ) throws {
    guard output.count > 0 else { return }
    var other = try job.makeOutput(Output.self)
    let bytes = output.count * MemoryLayout<Output>.stride
    var table = Table(.left, .right, .right)
    table.add("backend", "time of a call", "output written at")
    var different: [String] = []
    let backends: [Backend?] = kernels.backend.map { [$0] } ?? Backend.allCases + [nil]
    for backend in backends {
      let kernels = Kernels(backend: backend, threads: kernels.threads)
      let seconds = try secondsPerCall { try job.run(into: &other, using: kernels) }
      let name = backend?.rawValue ?? "auto"
      if !sameBits(output.span, other.span) { different.append(name) }
      table.add(
        name, formatted(seconds: seconds), formatted(bytes: bytes, in: seconds))
    }
    report.line()
    report.table(table)
    if !different.isEmpty {
      throw CommandError.data("\(different.joined(separator: ", ")): other bits than before")
    }
    if backends.count > 1 { report.line("  all gave the same bits") }
  }

  /// Whether two arrays have the same bits, also where they are no numbers.
  static func sameBits<Element: BitwiseCopyable>(_ a: Span<Element>, _ b: Span<Element>) -> Bool {
    guard a.count == b.count else { return false }
    return unsafe a.withUnsafeBytes { a in
      unsafe b.withUnsafeBytes { b in
        for i in 0..<a.count where unsafe a[i] != b[i] { return false }
        return true
      }
    }
  }
}
