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

  /// Reads a model that `save(to:)` or a trainer's checkpoint holds, a file or a folder with an index.
  ///
  /// - Throws: `checkpoint` for texts that are missing or wrong, `tensorShape`, `file`, `model`.
  public convenience init(contentsOf path: String) throws(TrainingError) {
    let name = try StateFiles(path).model
    let file = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try Safetensors(contentsOf: name)
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
    let entry = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try file.header.entry(name, in: file.path)
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
        parameter.take(try file.elements(of: parameter.name))
      } catch {
        throw .file(error)
      }
    }
    parts.bias?.refresh()
  }
}

extension GPTConfiguration {
  /// What a checkpoint keeps of the sizes and choices.
  private static var fields: [CheckpointField<GPTConfiguration>] {
    [
      .init("model.vocabulary", \.vocabulary), .init("model.context", \.context),
      .init("model.dim", \.dim), .init("model.heads", \.heads), .init("model.layers", \.layers),
      .init(choice: "model.positions", \.positions),
      .init(choice: "model.direction", \.direction), .init(choice: "model.head", \.head),
    ]
  }

  /// As texts of a checkpoint.
  var texts: [String: String] { Self.fields.texts(of: self) }

  init(_ texts: CheckpointTexts) throws(TrainingError) {
    self.init(vocabulary: 0, context: 0, dim: 0, heads: 0, layers: 0)
    try Self.fields.read(&self, from: texts)
  }
}
