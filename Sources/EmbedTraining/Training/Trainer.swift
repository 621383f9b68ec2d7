// Training a model: micro-batches, clipping and AdamW with warm-up and cosine decay.
//
// A run is a function of its options and the number of the step: the batch of step s is the s-th of
// shuffled windows, so that a checkpoint needs no state of a loader or a generator.

internal import EmbedData
public import EmbedKernel

/// A model being trained.
///
/// A value of this class belongs to one thread at a time; steps split their work themselves.
public final class Trainer {
  /// The model.
  public let model: GPT

  /// The numbers of the run.
  public let options: TrainingOptions

  /// The number of steps taken.
  public internal(set) var stepCount = 0

  /// The tokens of a sequence.
  public let context: Int

  let optimizers: [TableOptimizer]
  private let workspace: GPTWorkspace
  private var ids: AlignedBuffer<Int32>
  private var targets: AlignedBuffer<Int32>
  private var loader: (epoch: Int, batches: WindowLoader)?

  /// Allocates a run's memory.
  ///
  /// - Parameters:
  ///   - context: The tokens of a sequence; nil for the model's.
  ///   - threads: The threads of a step; nil for all CPUs.
  /// - Throws: `EmbedError` for numbers outside their ranges, or where memory ends.
  public init(
    _ model: GPT, _ options: TrainingOptions, context: Int? = nil, threads: Int? = nil
  ) throws(EmbedError) {
    try options.check()
    let context = context ?? model.configuration.context
    // AdamW's two moments, beside the parameters and gradients that the model has already.
    try SystemMemory.check(Int(saturating: 2 * model.configuration.parameterBytes))
    let rules = (try options.rule(decays: true), try options.rule(decays: false))
    var optimizers: [TableOptimizer] = []
    for parameter in model.parameters {
      optimizers.append(
        try TableOptimizer(parameter.decays ? rules.0 : rules.1, for: parameter.table))
    }
    let workspace = try GPTWorkspace(
      for: model, batch: options.microBatch, context: context, purpose: .training,
      threads: threads)
    let count = try elementCount("batch", options.batch, context)
    let ids = try AlignedBuffer<Int32>(count: count)
    let targets = try AlignedBuffer<Int32>(count: count)
    self.model = model
    self.options = options
    self.context = context
    self.optimizers = optimizers
    self.workspace = workspace
    self.ids = ids
    self.targets = targets
  }

  /// The bytes of parameters, gradients, state and activations.
  public var memoryBytes: Int {
    8 * model.parameterCount + optimizers.reduce(0) { $0 + $1.memoryBytes }
      + workspace.memoryBytes
  }

  /// Takes the next step on the batch that follows from its number.
  ///
  /// Allocates nothing, but where a pass over the text begins.
  ///
  /// - Throws: `textTooShort` for a text without a whole batch, `model` for an id outside the
  ///   vocabulary, `diverged` for a loss or gradient that is not finite; before any parameter moves.
  public func step(_ data: TrainingData) throws(TrainingError) -> StepReport {
    guard data.context == context else {
      throw .invalidSetting(
        name: "context of the data", value: "\(data.context)", expected: "\(context)")
    }
    try fill(data)
    return try takeStep()
  }

  /// Takes a step on a batch of your own.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]` as the options say.
  ///   - targets: The token that follows each.
  /// - Throws: As ``step(_:)``.
  public func step(ids: Span<Int32>, targets: Span<Int32>) throws(TrainingError) -> StepReport {
    for (name, count) in [("ids", ids.count), ("targets", targets.count)]
    where count != self.ids.count {
      throw .model(
        .wrongElementCount(
          argument: name, expected: self.ids.count, shape: [options.batch, context], actual: count))
    }
    for i in ids.indices {
      self.ids[i] = ids[i]
      self.targets[i] = targets[i]
    }
    return try takeStep()
  }

  private func fill(_ data: TrainingData) throws(TrainingError) {
    // A pass over the text has as many batches whatever its order.
    if loader == nil { loader = try pass(0, data) }
    guard let batches = loader?.batches.batchCount else { return }
    let (epoch, index) = stepCount.quotientAndRemainder(dividingBy: batches)
    if loader?.epoch != epoch { loader = try pass(epoch, data) }
    do throws(DataError) {
      try unsafe loader?.batches.fill(
        batch: index, inputs: ids.unsafeBuffer, targets: targets.unsafeBuffer)
    } catch {
      throw .data(error)
    }
  }

  private func pass(
    _ epoch: Int, _ data: TrainingData
  ) throws(TrainingError) -> (epoch: Int, batches: WindowLoader) {
    (epoch, try data.loader(batch: options.batch, seed: options.seed, epoch: epoch))
  }

  /// The batch's mean loss; leaves its gradient, each micro-batch weighted by its sequences.
  private func accumulate() throws(EmbedError) -> Double {
    var loss = 0.0
    var start = 0
    while start < options.batch {
      let rows = min(options.microBatch, options.batch - start)
      let weight = Double(rows) / Double(options.batch)
      let range = start * context..<(start + rows) * context
      let ids = unsafe Span(
        _unsafeElements: UnsafeBufferPointer(ids.unsafeBuffer).extracting(range))
      let targets = unsafe Span(
        _unsafeElements: UnsafeBufferPointer(targets.unsafeBuffer).extracting(range))
      loss +=
        weight
        * (try model.gradients(
          ids, targets: targets, batch: rows, context: context, weight: Float(weight),
          start == 0 ? .overwrite : .accumulate, in: workspace))
      start += rows
    }
    return loss
  }

  private func takeStep() throws(TrainingError) -> StepReport {
    let step = stepCount + 1
    let (loss, norm) = try TrainingError.wrapping { () throws(EmbedError) in
      let loss = try accumulate()
      var norm = GradientNorm()
      for parameter in model.parameters {
        norm.add(parameter.gradient.values, threads: workspace.threads)
      }
      return (loss, norm)
    }
    guard loss.isFinite else { throw .diverged(step: step, what: "loss", value: loss) }
    guard norm.value.isFinite else {
      throw .diverged(step: step, what: "gradient's norm", value: norm.value)
    }
    try TrainingError.wrapping { () throws(EmbedError) in
      var clip: Float = 1
      if let maximum = options.clip { clip = try norm.clipFactor(maximum: maximum) }
      try update(clip: clip)
    }
    stepCount = step
    return StepReport(
      step: step, loss: loss, gradientNorm: norm.value,
      learningRate: options.schedule.rate(at: step), tokens: ids.count)
  }

  /// Steps every parameter.
  private func update(clip: Float) throws(EmbedError) {
    let kernels = Kernels.auto.threads(workspace.threads)
    for (parameter, optimizer) in zip(model.parameters, optimizers) {
      try optimizer.step(dense: parameter.gradient.values, scale: clip, using: kernels)
    }
  }
}
