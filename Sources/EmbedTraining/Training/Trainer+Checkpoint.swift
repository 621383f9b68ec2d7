// A run's whole state: parameters by GPT-2's names, AdamW's moments beside them, and the options and the number of
// steps as texts. In one safetensors file, so that no crash can leave two that do not belong together; or in
// files that ranks write together, of which an index names those of one step.

public import EmbedDistributed
internal import EmbedKernel

extension Trainer {
  /// Writes the state to the file at `path`, which is replaced whole or stays as it was, whatever ends
  /// the process or the machine. Over ranks all call, and rank 0 writes the bytes that one process writes.
  ///
  /// - Parameter texts: What the caller wants to find again; keys must not begin with `model.`,
  ///   `training.` or `step`.
  /// - Throws: `file`; over ranks `ranks` on the others, and where their parameters are no longer the same.
  /// - Complexity: Each rank sends what it has of AdamW's moments, an array of a parameter at a time.
  public func save(to path: String, texts: [String: String] = [:]) throws(TrainingError) {
    guard ranks.size > 1 else {
      return try write(to: path, texts) { (parameter, array, body) throws(TrainingError) in
        guard let shard = shards.first(where: { $0.parameter === parameter }) else { return }
        let memory = unsafe shard.optimizer.memory(of: array)
        try body(unsafe RawSpan(_unsafeBytes: UnsafeRawBufferPointer(memory)))
      }
    }
    try saveOverRanks(to: path, texts)
  }

  /// Writes the file. Of each parameter's state `state` gives the arrays.
  func write(
    to path: String, _ texts: [String: String],
    _ state: (Parameter, StateArray, (RawSpan) throws(TrainingError) -> Void)
      throws(TrainingError) -> Void
  ) throws(TrainingError) {
    let arrays = stateArrays
    var tensors = model.tensors
    for parameter in model.parameters {
      for array in arrays {
        tensors.append(
          SafetensorsTensor(stateName(array, parameter), .float32, shape: parameter.shape))
      }
    }
    var writer = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try SafetensorsWriter(path, tensors: tensors, metadata: texts.merging(allTexts) { $1 })
    }
    try TrainingError.wrappingFile { () throws(SafetensorsError) in try model.write(to: &writer) }
    for parameter in model.parameters {
      for array in arrays {
        try state(parameter, array) { (bytes) throws(TrainingError) in
          try TrainingError.wrappingFile { () throws(SafetensorsError) in
            try writer.write(stateName(array, parameter), bytes: bytes)
          }
        }
      }
    }
    do throws(SafetensorsError) { try writer.commit() } catch { throw .file(error) }
  }

  /// What AdamW keeps of a parameter, by its names.
  var stateArrays: [StateArray] {
    (try? options.rule(decays: true))?.stateArrays(rows: 1, dim: 1) ?? []
  }

  /// The numbers of the run that `save(to:texts:)` left in a file, or `saveShards(to:texts:)` in a folder: what there
  /// is to check before memory is taken for them.
  ///
  /// - Throws: `checkpoint` for texts that are missing or wrong, `file`, `model`.
  package static func settings(
    in path: String
  ) throws(TrainingError) -> (options: TrainingOptions, context: Int) {
    let (file, texts) = try texts(in: path)
    return try settings(CheckpointTexts(file, texts))
  }

  /// All texts of a file or folder, and the path of the file that they are in.
  package static func texts(
    in path: String
  ) throws(TrainingError) -> (path: String, texts: [String: String]) {
    let file = try StateFiles(path).model
    return try TrainingError.wrappingFile { () throws(SafetensorsError) in
      (file, try SafetensorsHeader(contentsOf: file).metadata)
    }
  }

  private static func settings(
    _ texts: CheckpointTexts
  ) throws(TrainingError) -> (options: TrainingOptions, context: Int) {
    let options = try TrainingOptions(texts)
    let context: Int = try texts.integer("training.context")
    try TrainingError.wrapping { () throws(EmbedError) in try options.check() }
    guard context >= 1 else { throw texts.wrong("training.context", "1 or more") }
    return (options, context)
  }

  /// Takes up a run where `save(to:texts:)` left it: its steps go on bit for bit.
  ///
  /// - Parameters:
  ///   - steps: Another number of steps for the whole run, which changes the rate's schedule; nil for
  ///     the file's.
  ///   - threads: The threads of a step; nil for all CPUs.
  ///   - ranks: Any number of ranks, which all read the file; nil for this process alone. A run with
  ///     gradient groups goes on, bit for bit, on another number of ranks.
  /// - Returns: The trainer, and all texts of the file.
  /// - Throws: `checkpoint` for texts that are missing or wrong, `tensorShape`, `file`, `model`.
  public static func restore(
    from path: String, steps: Int? = nil, threads: Int? = nil, over ranks: Communicator? = nil
  ) throws(TrainingError) -> (trainer: Trainer, texts: [String: String]) {
    let saved = try together(ranks, "reading of a checkpoint") { () throws(TrainingError) in
      try SavedRun(path, steps: steps)
    }
    let trainer: Trainer
    if let ranks {
      try TrainingError.wrappingRanks { () throws(DistributedError) in
        var facts: [(name: String, value: String)] = []
        try ranks.together("reading of a checkpoint") {
          if let index = saved.files.index {
            facts = try index.facts(in: path)
          } else {
            facts = [("check sum of the checkpoint", "\(try CheckSum.of(file: path))")]
          }
        }
        try ranks.agree(facts)
      }
      trainer = try Trainer(
        saved.model, saved.options, context: saved.context, threads: threads, over: ranks)
    } else {
      trainer = try TrainingError.wrapping { () throws(EmbedError) in
        try Trainer(saved.model, saved.options, context: saved.context, threads: threads)
      }
    }
    try together(ranks, "reading of a checkpoint") { () throws(TrainingError) in
      try trainer.restoreState(saved, in: path)
    }
    return (trainer, saved.texts.texts)
  }

  /// What a file says of a run, but for the optimiser's state.
  private final class SavedRun {
    let files: StateFiles
    let texts: CheckpointTexts
    let options: TrainingOptions
    let context: Int
    let stepCount: Int
    let model: GPT

    init(_ path: String, steps: Int?) throws(TrainingError) {
      files = try StateFiles(path)
      let name = files.model
      let file = try TrainingError.wrappingFile { () throws(SafetensorsError) in
        try Safetensors(contentsOf: name)
      }
      texts = CheckpointTexts(name, file.header.metadata)
      var (options, context) = try Trainer.settings(texts)
      if let steps { options.steps = steps }
      stepCount = try texts.integer("step")
      guard stepCount >= 0, stepCount < Int(Int32.max) else {
        throw texts.wrong("step", "0 or more, below \(Int32.max)")
      }
      if let index = files.index, index.step != stepCount {
        throw texts.wrong("step", "\(index.step), as the index says")
      }
      model = try GPT(file)
      self.options = options
      self.context = context
    }
  }

  private func restoreState(_ saved: SavedRun, in path: String) throws(TrainingError) {
    let path = try saved.files.state(in: path)
    let file = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try Safetensors(contentsOf: path)
    }
    let texts = CheckpointTexts(path, file.header.metadata)
    guard texts.texts["step"] == "\(saved.stepCount)" else {
      throw texts.wrong("step", "\(saved.stepCount), as the model's file says")
    }
    for parameter in model.parameters {
      for array in stateArrays {
        let name = stateName(array, parameter)
        let entry = try GPT.check(name, parameter.shape, file)
        guard entry.type == .float32 else {
          throw .tensorShape(
            path: path, tensor: name, found: entry.shape, expected: parameter.shape)
        }
      }
    }
    for shard in shards {
      let start = 4 * shard.first
      do {
        try shard.optimizer.restoreState(stepCount: saved.stepCount) { array, bytes in
          let whole = try file.bytes(of: stateName(array, shard.parameter))
          unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe whole.withUnsafeBytes {
              unsafe bytes.copyMemory(
                from: UnsafeRawBufferPointer(rebasing: $0[start..<start + bytes.count]))
            }
          }
        }
      } catch let error as SafetensorsError {
        throw .file(error)
      } catch let error as EmbedError {
        throw .model(error)
      } catch {
        throw saved.texts.wrong("step", "the number of steps of the optimiser's state")
      }
    }
    stepCount = saved.stepCount
  }

  /// Does a rank's part of what all do; where one fails, all throw.
  private static func together<Result>(
    _ ranks: Communicator?, _ operation: String, _ body: () throws(TrainingError) -> Result
  ) throws(TrainingError) -> Result {
    guard let ranks else { return try body() }
    var result: Result?
    var fault: TrainingError?
    do throws(TrainingError) { result = try body() } catch { fault = error }
    do throws(DistributedError) {
      try ranks.share(fault, operation)
    } catch {
      throw fault ?? .ranks(error)
    }
    guard let result else { throw .ranks(.broken(operation: operation)) }
    return result
  }

  /// What a checkpoint says of the model and the run.
  var allTexts: [String: String] {
    let own = ["step": "\(stepCount)", "training.context": "\(context)"]
    return model.configuration.texts.merging(options.texts.merging(own) { $1 }) { $1 }
  }
}

/// What a file calls a parameter's state.
func stateName(_ array: StateArray, _ parameter: Parameter) -> String {
  "optimizer.\(array.name).\(parameter.name)"
}

extension TrainingOptions {
  /// What a checkpoint keeps of the numbers.
  private static var fields: [CheckpointField<TrainingOptions>] {
    [
      .init("training.batch", \.batch), .init("training.micro_batch", \.microBatch),
      .init("training.gradient_groups", \.gradientGroups),
      .init("training.vocabulary_blocks", \.vocabularyBlocks),
      .init("training.steps", \.steps), .init("training.learning_rate", \.learningRate),
      .init("training.final_learning_rate", \.finalLearningRate),
      .init("training.warmup", \.warmup), .init("training.beta1", \.beta1),
      .init("training.beta2", \.beta2), .init("training.epsilon", \.epsilon),
      .init("training.weight_decay", \.weightDecay),
      .init("training.clip", \.clip, absent: "none"), .init("training.seed", \.seed),
    ]
  }

  /// As texts of a checkpoint.
  var texts: [String: String] { Self.fields.texts(of: self) }

  fileprivate init(_ texts: CheckpointTexts) throws(TrainingError) {
    self.init(batch: 0, steps: 0)
    try Self.fields.read(&self, from: texts)
  }
}
