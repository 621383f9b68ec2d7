// Training a model: micro-batches, clipping and AdamW with warm-up and cosine decay.
//
// A run is a function of its options and the number of the step: the batch of step s is the s-th of
// shuffled windows, so that a checkpoint needs no state of a loader or a generator. Over ranks each computes the
// gradients of some groups of every batch, and steps some of the parameters.

internal import EmbedData
public import EmbedDistributed
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

  /// The ranks that share the run, or this process alone.
  public let ranks: Communicator

  /// What this rank steps: all parameters, or its share.
  let shards: [ParameterShard]
  /// All parameters in the order of ranks' stretches.
  let stepped: SteppedParameters
  private let grouped: GroupedGradient?
  private var head: DividedHead?
  let workspace: GPTWorkspace
  var ids: AlignedBuffer<Int32>
  var targets: AlignedBuffer<Int32>
  private var loader: (epoch: Int, batches: WindowLoader)?

  /// Allocates a run's memory.
  ///
  /// - Parameters:
  ///   - context: The tokens of a sequence; nil for the model's.
  ///   - threads: The threads of a step; nil for all CPUs.
  /// - Throws: `EmbedError` for numbers outside their ranges, or where memory ends.
  public convenience init(
    _ model: GPT, _ options: TrainingOptions, context: Int? = nil, threads: Int? = nil
  ) throws(EmbedError) {
    try self.init(model, options, context, threads, .alone)
    do throws(DistributedError) {
      head = try makeHead()
    } catch .invalid(let error) {
      throw error
    } catch {
      throw .unsupported(
        argument: "vocabulary blocks", value: "\(options.vocabularyBlocks ?? 0)",
        expected: "\(error)")
    }
  }

  /// Allocates this rank's part of a run: activations of some groups of a batch, moments of some parameters.
  /// Each rank has the whole model and gives the whole batch of every step; the model that comes out is, bit for bit,
  /// that of one process with as many gradient groups.
  ///
  /// - Throws: `ranks` where ranks differ in the model, the options or the kernels of their CPUs, on all of
  ///   them; `model` as above, and for options without gradient groups over several ranks.
  public convenience init(
    _ model: GPT, _ options: TrainingOptions, context: Int? = nil, threads: Int? = nil,
    over ranks: Communicator
  ) throws(TrainingError) {
    try TrainingError.wrappingRanks { () throws(DistributedError) in
      try ranks.agree(Self.facts(model, options, context))
    }
    do throws(EmbedError) {
      guard ranks.size == 1 || options.gradientGroups != nil else {
        throw .unsupported(
          argument: "gradient groups", value: "none", expected: "a number, over several ranks")
      }
      try self.init(model, options, context, threads, ranks)
    } catch {
      try TrainingError.wrappingRanks { () throws(DistributedError) in
        try ranks.share(DistributedError.invalid(error), "making of a trainer")
      }
      throw .model(error)
    }
    head = try TrainingError.wrappingRanks { () throws(DistributedError) in
      try ranks.share(nil, "making of a trainer")
      return try makeHead()
    }
  }

  private init(
    _ model: GPT, _ options: TrainingOptions, _ context: Int?, _ threads: Int?,
    _ ranks: Communicator
  ) throws(EmbedError) {
    try options.check()
    let context = context ?? model.configuration.context
    // AdamW's two moments, beside the parameters and gradients that the model has already; a few vectors of
    // sums where there are groups.
    let parameterBytes = model.configuration.parameterBytes
    try SystemMemory.check(
      Int(
        saturating: 2 * parameterBytes / Double(ranks.size)
          + (options.gradientGroups == nil ? 0 : 2 * parameterBytes)))
    let rules = (try options.rule(decays: true), try options.rule(decays: false))
    var shards: [ParameterShard] = []
    let stepped = SteppedParameters(model, options)
    for part in ParameterLayout(stepped.all, ranks: ranks.size).parts(of: ranks.rank) {
      let parameter = stepped.all[part.parameter]
      shards.append(
        try ParameterShard(
          part, of: parameter, alone: ranks.size == 1, parameter.decays ? rules.0 : rules.1))
    }
    let workspace = try GPTWorkspace(
      for: model, batch: options.passSequences, context: context, .training, threads,
      options.vocabularyBlocks == nil ? .whole : .divided)
    var grouped: GroupedGradient?
    if let groups = options.gradientGroups {
      grouped = try GroupedGradient(
        stepped, groups: groups, threads: workspace.threads, over: ranks)
    }
    let count = try elementCount("batch", options.batch, context)
    let ids = try AlignedBuffer<Int32>(count: count)
    let targets = try AlignedBuffer<Int32>(count: count)
    self.model = model
    self.options = options
    self.context = context
    self.ranks = ranks
    self.shards = shards
    self.stepped = stepped
    self.grouped = grouped
    self.workspace = workspace
    self.ids = ids
    self.targets = targets
  }

  /// The head over ranks, where its vocabulary is divided. All ranks call.
  private func makeHead() throws(DistributedError) -> DividedHead? {
    guard let blocks = options.vocabularyBlocks else { return nil }
    return try DividedHead(
      model, stepped, blocks: blocks,
      rows: (ownSequences.count * context, options.batch * context), threads: workspace.threads,
      over: ranks)
  }

  /// The bytes of parameters, gradients, state and activations.
  public var memoryBytes: Int {
    8 * model.parameterCount
      + shards.reduce(0) {
        $0 + $1.optimizer.memoryBytes + ($1.table === $1.parameter.table ? 0 : 4 * $1.count)
      }
      + workspace.memoryBytes + (grouped?.memoryBytes ?? 0) + (head?.memoryBytes ?? 0)
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

  private func takeStep() throws(TrainingError) -> StepReport {
    let step = stepCount + 1
    let (loss, norm) =
      if let grouped, let head {
        try passGroups(grouped, head)
      } else if let grouped {
        try passGroups(grouped)
      } else {
        try TrainingError.wrapping { () throws(EmbedError) in try passBatch() }
      }
    guard loss.isFinite else { throw .diverged(step: step, what: "loss", value: loss) }
    guard norm.isFinite else {
      throw .diverged(step: step, what: "gradient's norm", value: norm)
    }
    try TrainingError.wrapping { () throws(EmbedError) in
      var clip: Float = 1
      if let maximum = options.clip { clip = try GradientNorm.clipFactor(norm, maximum: maximum) }
      try update(clip: clip)
    }
    try TrainingError.wrappingRanks { () throws(DistributedError) in
      try grouped?.shareParameters(stepped.all)
    }
    stepCount = step
    return StepReport(
      step: step, loss: loss, gradientNorm: norm,
      learningRate: options.schedule.rate(at: step), tokens: ids.count)
  }

  /// Steps this rank's parameters.
  private func update(clip: Float) throws(EmbedError) {
    let kernels = Kernels.auto.threads(workspace.threads)
    for shard in shards {
      let gradient =
        unsafe grouped?.gradient(shard.part, count: shard.count)
        ?? UnsafeBufferPointer(shard.parameter.gradient.unsafeBuffer)
      try unsafe shard.step(gradient, scale: clip, kernels)
    }
  }
}
