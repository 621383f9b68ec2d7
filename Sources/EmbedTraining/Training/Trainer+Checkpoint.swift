// A run's whole state in one safetensors file: parameters by GPT-2's names, AdamW's moments beside
// them, and the options and the number of steps as texts. One file, so that no crash can leave two
// that do not belong together.

internal import EmbedKernel

extension Trainer {
  /// Writes the state to the file at `path`, which is replaced whole or stays as it was, whatever ends
  /// the process or the machine.
  ///
  /// - Parameter texts: What the caller wants to find again; keys must not begin with `model.`,
  ///   `training.` or `step`.
  /// - Throws: `file`.
  public func save(to path: String, texts: [String: String] = [:]) throws(TrainingError) {
    var tensors = model.tensors
    for (parameter, optimizer) in zip(model.parameters, optimizers) {
      for array in optimizer.stateArrays {
        tensors.append(
          SafetensorsTensor(
            stateName(array, parameter), .float32, shape: parameter.shape))
      }
    }
    let known = model.configuration.texts.merging(runTexts) { $1 }
    try TrainingError.wrappingFile { () throws(SafetensorsError) in
      var writer = try SafetensorsWriter(
        path, tensors: tensors, metadata: texts.merging(known) { $1 })
      try model.write(to: &writer)
      for (parameter, optimizer) in zip(model.parameters, optimizers) {
        try optimizer.forEachStateArray { (array, bytes) throws(SafetensorsError) in
          try writer.write(stateName(array, parameter), bytes: bytes)
        }
      }
      try writer.commit()
    }
  }

  /// The numbers of the run that `save(to:texts:)` left in a file: what there is to check before memory
  /// is taken for them.
  ///
  /// - Throws: `checkpoint` for texts that are missing or wrong, `file`, `model`.
  package static func settings(
    in path: String
  ) throws(TrainingError) -> (options: TrainingOptions, context: Int) {
    let header = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try SafetensorsHeader(contentsOf: path)
    }
    return try settings(CheckpointTexts(path, header.metadata))
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
  /// - Returns: The trainer, and all texts of the file.
  /// - Throws: `checkpoint` for texts that are missing or wrong, `tensorShape`, `file`, `model`.
  public static func restore(
    from path: String, steps: Int? = nil, threads: Int? = nil
  ) throws(TrainingError) -> (trainer: Trainer, texts: [String: String]) {
    let file = try TrainingError.wrappingFile { () throws(SafetensorsError) in
      try Safetensors(contentsOf: path)
    }
    let texts = CheckpointTexts(path, file.header.metadata)
    var (options, context) = try settings(texts)
    if let steps { options.steps = steps }
    let stepCount: Int = try texts.integer("step")
    guard stepCount >= 0, stepCount < Int(Int32.max) else {
      throw texts.wrong("step", "0 or more, below \(Int32.max)")
    }
    let model = try GPT(file)
    let trainer = try TrainingError.wrapping { () throws(EmbedError) in
      try Trainer(model, options, context: context, threads: threads)
    }
    for (parameter, optimizer) in zip(model.parameters, trainer.optimizers) {
      for array in optimizer.stateArrays {
        let name = stateName(array, parameter)
        let entry = try GPT.check(name, parameter.shape, file)
        guard entry.type == .float32 else {
          throw .tensorShape(
            path: path, tensor: name, found: entry.shape, expected: parameter.shape)
        }
      }
      do {
        try optimizer.restoreState(stepCount: stepCount) { array, bytes in
          let saved = try file.bytes(of: stateName(array, parameter))
          unsafe bytes.withUnsafeMutableBytes { bytes in
            unsafe saved.withUnsafeBytes { unsafe bytes.copyMemory(from: $0) }
          }
        }
      } catch let error as SafetensorsError {
        throw .file(error)
      } catch let error as EmbedError {
        throw .model(error)
      } catch {
        throw texts.wrong("step", "the number of steps of the optimiser's state")
      }
    }
    trainer.stepCount = stepCount
    return (trainer, texts.texts)
  }

  private var runTexts: [String: String] {
    options.texts.merging(["step": "\(stepCount)", "training.context": "\(context)"]) { $1 }
  }
}

/// What a file calls a parameter's state.
private func stateName(_ array: StateArray, _ parameter: Parameter) -> String {
  "optimizer.\(array.name).\(parameter.name)"
}

extension TrainingOptions {
  /// What a checkpoint keeps of the numbers.
  private static var fields: [CheckpointField<TrainingOptions>] {
    [
      .init("training.batch", \.batch), .init("training.micro_batch", \.microBatch),
      .init("training.steps", \.steps), .init("training.learning_rate", \.learningRate),
      .init("training.final_learning_rate", \.finalLearningRate),
      .init("training.warmup", \.warmup), .init("training.beta1", \.beta1),
      .init("training.beta2", \.beta2), .init("training.epsilon", \.epsilon),
      .init("training.weight_decay", \.weightDecay),
      .init("training.clip", \.clip, absent: "none"), .init("training.seed", \.seed),
    ]
  }

  /// As texts of a checkpoint.
  fileprivate var texts: [String: String] { Self.fields.texts(of: self) }

  fileprivate init(_ texts: CheckpointTexts) throws(TrainingError) {
    self.init(batch: 0, steps: 0)
    try Self.fields.read(&self, from: texts)
  }
}
