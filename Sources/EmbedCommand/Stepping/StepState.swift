// An optimiser's state in a safetensors file: its arrays by PyTorch's names, the number of steps and the
// settings as texts, and where they differ from the table, the values that steps are computed on.

internal import EmbedKernel

/// Settings by option name, as a state's file has them in its metadata.
struct StepSettings {
  /// In the order in which differences are told.
  static let names =
    ["optimizer", "untouched", "schedule"] + RateOptions.group.options.map { $0.name }
    + ["weight-decay", "beta1", "beta2", "epsilon", "initial-sum", "rate-decay", "frozen-row"]
    + ["clip", "clip-order", "updates", "rounding-seed", "moments"]

  let texts: [String: String]

  init(_ rule: UpdateRule, _ numbers: UpdateNumbers, _ more: [String: String]) {
    var texts = ["optimizer": rule.name, "untouched": rule.untouched.rawValue]
    if rule.state.moments == .bfloat16 { texts["moments"] = "bfloat16" }
    for (name, value) in numbers.given {
      texts[name.replacing(" ", with: "-")] = "\(value)"
    }
    self.texts = texts.merging(RateOptions.texts(rule.learningRate)) { $1 }.merging(more) { $1 }
  }
}

enum StepState {
  /// The name of the values that steps are computed on.
  static let values = "parameters"
  static let trainableRows = "trainable_rows"

  /// A file of the state as it stands, written but for its place.
  static func prepare(
    _ path: String, _ optimizer: TableOptimizer, _ settings: StepSettings
  ) throws(SafetensorsError) -> SafetensorsWriter {
    var tensors = optimizer.stateArrays.map {
      SafetensorsTensor($0.name, $0.element.safetensorsType, shape: $0.shape)
    }
    let hasValues = hasValues(optimizer)
    if hasValues {
      tensors.append(
        SafetensorsTensor(values, .float32, shape: [optimizer.rows, optimizer.dim]))
    }
    let rows = optimizer.trainable.sorted
    if let rows { tensors.append(SafetensorsTensor(trainableRows, .int32, shape: [rows.count])) }
    var writer = try SafetensorsWriter(
      path, tensors: tensors,
      metadata: settings.texts.merging(["step": "\(optimizer.stepCount)"]) { $1 })
    try optimizer.forEachStandingArray { (array, bytes) throws(SafetensorsError) in
      try writer.write(array.name, bytes: bytes)
    }
    if hasValues {
      try optimizer.withStandingValues { (span) throws(SafetensorsError) in
        try writer.write(values, span)
      }
    }
    if let rows { try writer.write(trainableRows, rows.span) }
    return writer
  }

  /// Whether what steps are computed on is more than the table that is written.
  private static func hasValues(_ optimizer: TableOptimizer) -> Bool {
    optimizer.table != nil
      && (optimizer.roundedType != nil || optimizer.rule.untouched == .caughtUp)
  }

  /// An optimiser that goes on from a file's state.
  ///
  /// - Parameters:
  ///   - table: The table as the earlier run wrote it.
  ///   - make: Makes an optimiser of fresh state, which steps the table, or other values instead.
  /// - Throws: `CommandError` that names what is missing or does not fit.
  static func restore(
    _ path: String, _ table: StepTable, _ settings: StepSettings, ignoresSettings: Bool,
    _ make: (EmbeddingTable<Float>?) throws -> TableOptimizer
  ) throws -> TableOptimizer {
    let file = try Safetensors(contentsOf: path)
    let metadata = file.header.metadata
    guard let text = metadata["step"], let step = Int(text), step >= 0 else {
      throw CommandError.data(
        "'\(path)': expected metadata 'step', a number of steps, found "
          + (metadata["step"].map { "'\($0)'" } ?? "none"))
    }
    try check(path, metadata, settings, ignoresSettings: ignoresSettings)

    let fresh = try make(nil)
    try check(path, file.header, fresh)
    if let rows = fresh.trainable.sorted {
      let saved: Span<Int32> = try file.elements(of: trainableRows)
      guard saved.indices.map({ saved[$0] }) == rows else {
        throw CommandError.data(
          "'\(path)': '\(trainableRows)' are other rows than --\(Step.trainableRows.name) names")
      }
    }
    guard hasValues(fresh), file.header.entry(values) != nil else {
      try fill(fresh, step, path, file)
      return fresh
    }
    let span: Span<Float> = try file.elements(of: values)
    func standing() throws -> TableOptimizer {
      let optimizer = try make(
        EmbeddingTable<Float>(rows: fresh.rows, dim: fresh.dim, copying: span))
      try fill(optimizer, step, path, file)
      return optimizer
    }
    // What the earlier run wrote must follow from the values that its steps go on from.
    let trial = try standing()
    try trial.synchronise()
    guard table.isTable(of: trial) else {
      throw CommandError.data(
        "'\(path)': --\(Step.table.name) is not the table of this state; expected the output of the "
          + "run that wrote it")
    }
    return try standing()
  }

  /// Compares what the file remembers with the settings in force.
  private static func check(
    _ path: String, _ metadata: [String: String], _ settings: StepSettings, ignoresSettings: Bool
  ) throws(CommandError) {
    guard let optimizer = metadata["optimizer"] else {
      throw .data("'\(path)': expected metadata 'optimizer', found none")
    }
    let isBehind = metadata["untouched"] == UntouchedRows.caughtUp.rawValue
    for name in StepSettings.names {
      guard let saved = metadata[name] else { continue }
      let given = settings.texts[name] ?? "none"
      let isSame = saved == given || Double(saved).map { $0 == Double(given) } ?? false
      guard !isSame else { continue }
      // The state itself, and rows that are behind, follow from these.
      let isNeeded = ["optimizer", "untouched", "updates", "moments"].contains(name) || isBehind
      guard !ignoresSettings || isNeeded else { continue }
      let remedy =
        isNeeded
        ? "" : "; --\(Step.stateSettings.name) ignore goes on with what is given"
      throw .data(
        "'\(path)': the state of \(optimizer) has \(name) \(saved), here it is \(given)\(remedy)")
    }
  }

  /// Compares the file's tensors with the arrays of the optimiser.
  private static func check(
    _ path: String, _ header: SafetensorsHeader, _ optimizer: TableOptimizer
  ) throws {
    var expected: [String: (type: SafetensorsType, shape: [Int])] = [:]
    for array in optimizer.stateArrays {
      expected[array.name] = (array.element.safetensorsType, array.shape)
    }
    if let rows = optimizer.trainable.sorted { expected[trainableRows] = (.int32, [rows.count]) }
    let needed = expected.keys.sorted()
    if hasValues(optimizer) { expected[values] = (.float32, [optimizer.rows, optimizer.dim]) }
    for name in needed { _ = try header.entry(name, in: path) }
    for tensor in header.tensors {
      guard let array = expected[tensor.name] else {
        throw CommandError.data(
          "'\(path)': tensor \(quoted(tensor.name)) is no part of this state; it has "
            + (needed.isEmpty ? "none" : needed.joined(separator: ", ")))
      }
      guard tensor.type == array.type else {
        throw SafetensorsError.elementType(
          path: path, tensor: tensor.name, expected: array.type.rawValue, found: tensor.type)
      }
      guard tensor.shape == array.shape else {
        throw SafetensorsError.shape(
          path: path, tensor: tensor.name, expected: "\(array.shape)", found: tensor.shape)
      }
    }
  }

  private static func fill(
    _ optimizer: TableOptimizer, _ step: Int, _ path: String, _ file: borrowing Safetensors
  ) throws {
    do {
      try optimizer.restoreState(stepCount: step) { array, bytes in
        let saved = try file.bytes(of: array.name)
        unsafe bytes.withUnsafeMutableBytes { bytes in
          unsafe saved.withUnsafeBytes { unsafe bytes.copyMemory(from: $0) }
        }
      }
    } catch let error as EmbedError {
      throw CommandError.data("'\(path)': \(error)")
    }
  }
}

extension StateArray.Element {
  var safetensorsType: SafetensorsType {
    switch self {
    case .float32: .float32
    case .int32: .int32
    case .int8: .int8
    case .bfloat16: .bfloat16
    }
  }
}

extension TrainableRows {
  /// The rows, rising, each once; nil for all.
  var sorted: [Int32]? {
    switch self {
    case .all: nil
    case .range(let range): range.map { Int32(truncatingIfNeeded: $0) }
    case .rows(let rows): Set(rows).sorted().map { Int32(truncatingIfNeeded: $0) }
    }
  }
}
