// A model's parameters in a safetensors file, by GPT-2's names, with its configuration as texts.

internal import EmbedKernel

extension GPT {
  /// Writes the parameters to the file at `path`, which is replaced whole or stays as it was.
  ///
  /// Names and shapes are those of GPT-2 as Hugging Face stores it, without a prefix.
  ///
  /// - Throws: `file`.
  public func save(to path: String) throws(TrainingError) {
    try TrainingError.wrappingFile { () throws(SafetensorsError) in
      var writer = try SafetensorsWriter(
        path, tensors: tensors, metadata: configuration.texts.merging(["format": "pt"]) { $1 })
      try write(to: &writer)
      try writer.commit()
    }
  }

  /// Reads a model that `save(to:)` or a trainer's checkpoint holds.
  ///
  /// - Throws: `checkpoint` for texts that are missing or wrong, `tensorShape`, `file`, `model`.
  public convenience init(contentsOf path: String) throws(TrainingError) {
    let file = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try Safetensors(contentsOf: path)
    }
    try self.init(file)
  }

  convenience init(_ file: borrowing Safetensors) throws(TrainingError) {
    let configuration = try GPTConfiguration(CheckpointTexts(file.path, file.header.metadata))
    try Self.checkSizes(configuration, file)
    do throws(EmbedError) {
      // A context is no tensor's size here, so it takes memory where it is used, not where it is read.
      try self.init(configuration, sinusoids: min(configuration.context, 1_024))
    } catch {
      throw .model(error)
    }
    try read(file)
  }

  /// Checks the sizes against the file's tensors before anything is allocated for them.
  private static func checkSizes(
    _ sizes: GPTConfiguration, _ file: borrowing Safetensors
  ) throws(TrainingError) {
    try check("wte.weight", [sizes.vocabulary, sizes.dim], file)
    if sizes.positions == .learned { try check("wpe.weight", [sizes.context, sizes.dim], file) }
    if sizes.head == .untied {
      try check("lm_head.weight", [sizes.vocabulary, sizes.dim], file)
    }
    let inner = sizes.dim.multipliedReportingOverflow(by: 4).partialValue
    try check("h.0.mlp.c_fc.weight", [sizes.dim, inner], file)
    guard sizes.blockBytes <= Double(file.header.dataByteCount) else {
      throw CheckpointTexts(file.path, file.header.metadata).wrong(
        "model.layers", "as many as \(file.header.dataByteCount) bytes of tensors hold")
    }
  }

  /// The entry of a tensor that must be there, and of this shape.
  @discardableResult
  static func check(
    _ name: String, _ shape: [Int], _ file: borrowing Safetensors
  ) throws(TrainingError) -> SafetensorsEntry {
    guard let entry = file.header.entry(name) else {
      throw .file(.missingTensor(path: file.path, expected: [name], found: file.names))
    }
    guard entry.shape == shape else {
      throw .tensorShape(path: file.path, tensor: name, found: entry.shape, expected: shape)
    }
    return entry
  }

  /// What the file holds of each parameter.
  var tensors: [SafetensorsTensor] {
    parameters.map { SafetensorsTensor($0.name, .float32, shape: $0.shape) }
  }

  func write(to writer: inout SafetensorsWriter) throws(SafetensorsError) {
    for parameter in parameters {
      let table = parameter.table
      try writer.write(parameter.name, table.span)
    }
  }

  /// Takes the values of all parameters; the shapes are checked first.
  func read(_ file: borrowing Safetensors) throws(TrainingError) {
    for parameter in parameters { try Self.check(parameter.name, parameter.shape, file) }
    for parameter in parameters {
      do throws(SafetensorsError) {
        let values = try file.elements(of: parameter.name, as: Float.self)
        parameter.table.withMutableSpan { span in
          for i in span.indices { span[i] = values[i] }
        }
      } catch {
        throw .file(error)
      }
    }
    parts.bias?.refresh()
  }
}

extension GPTConfiguration {
  /// As texts of a checkpoint.
  var texts: [String: String] {
    [
      "model.vocabulary": "\(vocabulary)", "model.context": "\(context)", "model.dim": "\(dim)",
      "model.heads": "\(heads)", "model.layers": "\(layers)",
      "model.positions": positions.rawValue, "model.direction": direction.rawValue,
      "model.head": head.rawValue,
    ]
  }

  init(_ texts: CheckpointTexts) throws(TrainingError) {
    self.init(
      vocabulary: try texts.integer("model.vocabulary"),
      context: try texts.integer("model.context"), dim: try texts.integer("model.dim"),
      heads: try texts.integer("model.heads"), layers: try texts.integer("model.layers"),
      positions: try texts.choice("model.positions"),
      direction: try texts.choice("model.direction"), head: try texts.choice("model.head"))
  }
}

/// The texts of a checkpoint, read with errors that name the key.
struct CheckpointTexts {
  let path: String
  let texts: [String: String]

  init(_ path: String, _ texts: [String: String]) {
    self.path = path
    self.texts = texts
  }

  func integer<Value: FixedWidthInteger>(_ key: String) throws(TrainingError) -> Value {
    guard let value = texts[key].flatMap({ Value($0) }) else { throw wrong(key, "an integer") }
    return value
  }

  func number(_ key: String) throws(TrainingError) -> Double {
    guard let value = texts[key].flatMap(Double.init) else { throw wrong(key, "a number") }
    return value
  }

  func choice<Value: RawRepresentable<String> & CaseIterable>(
    _ key: String
  ) throws(TrainingError) -> Value {
    guard let value = texts[key].flatMap({ Value(rawValue: $0) }) else {
      throw wrong(key, "one of " + Value.allCases.map(\.rawValue).joined(separator: ", "))
    }
    return value
  }

  func wrong(_ key: String, _ expected: String) -> TrainingError {
    .checkpoint(path: path, key: key, found: texts[key], expected: expected)
  }
}
