// The numbers of a training run, and whether they go together.

public import EmbedKernel

/// How a model is trained.
public struct TrainingOptions: Hashable, Sendable {
  /// The sequences of a step.
  public var batch: Int
  /// The sequences of a pass: a step's gradient is summed over as many passes as it takes, the last
  /// of which may have fewer.
  public var microBatch: Int
  /// Into how many groups of sequences a batch is cut, whose gradients are computed alone and then added in
  /// pairs, those sums in pairs again: ranks that share a batch's groups train, bit for bit, what one
  /// process trains. Another number has other last bits. Nil cuts nothing, which is fastest and for one
  /// process alone.
  public var gradientGroups: Int?
  /// Into how many blocks of rows, the last of which may be shorter or missing, the vocabulary of the output head is
  /// cut, which ranks share: each computes logits, powers and gradients of its blocks for the tokens of all ranks,
  /// and the model that comes out is the same on any number of them. Another number has other last bits. It goes
  /// with gradient groups. Nil cuts nothing: each rank computes all logits of its own tokens.
  public var vocabularyBlocks: Int?
  /// The steps of the whole run, which the learning rate's schedule goes by.
  public var steps: Int
  /// AdamW's learning rate after the warm-up.
  public var learningRate: Double
  /// The rate at the end, where the cosine has fallen to.
  public var finalLearningRate: Double
  /// The steps over which the rate rises.
  public var warmup: Int
  /// The decay of the first moment.
  public var beta1: Double
  /// The decay of the second moment.
  public var beta2: Double
  /// What keeps the divisor from 0.
  public var epsilon: Double
  /// Weight decay of matrices; biases and gains have none.
  public var weightDecay: Double
  /// The most that the gradient's norm may be; nil clips nothing.
  public var clip: Double?
  /// Decides the order of the batches.
  public var seed: UInt64

  /// Options with the defaults of small GPTs.
  public init(
    batch: Int, microBatch: Int? = nil, gradientGroups: Int? = nil,
    vocabularyBlocks: Int? = nil, steps: Int, learningRate: Double = 1e-3,
    finalLearningRate: Double? = nil, warmup: Int = 0, beta1: Double = 0.9, beta2: Double = 0.95,
    epsilon: Double = 1e-8, weightDecay: Double = 0.1, clip: Double? = 1, seed: UInt64 = 0
  ) {
    self.batch = batch
    self.microBatch = microBatch ?? batch
    self.gradientGroups = gradientGroups
    self.vocabularyBlocks = vocabularyBlocks
    self.steps = steps
    self.learningRate = learningRate
    self.finalLearningRate = finalLearningRate ?? learningRate / 10
    self.warmup = warmup
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.clip = clip
    self.seed = seed
  }

  /// Warm-up, then a cosine down to the final rate.
  public var schedule: LearningRate {
    .cosine(
      peak: learningRate, final: finalLearningRate, warmup: warmup, total: max(steps, warmup &+ 1))
  }

  /// Checks what the optimiser does not.
  ///
  /// - Throws: `invalidSize`, `invalidValue`.
  public func check() throws(EmbedError) {
    for (name, value, least) in [
      ("batch", batch, 1), ("micro-batch", microBatch, 1), ("steps", steps, 0),
      ("warm-up", warmup, 0),
    ] where value < least {
      throw .invalidSize(argument: name, value: value, expected: "\(least) or more")
    }
    // What counts steps has 32 bits in files.
    for (name, value) in [("steps", steps), ("warm-up", warmup)] where value > Int(Int32.max) {
      throw .invalidSize(argument: name, value: value, expected: "at most \(Int32.max)")
    }
    guard microBatch <= batch else {
      throw .invalidSize(
        argument: "micro-batch", value: microBatch, expected: "at most the batch, \(batch)")
    }
    if let gradientGroups, gradientGroups < 1 || gradientGroups > batch {
      throw .invalidSize(
        argument: "gradient groups", value: gradientGroups,
        expected: "1...\(batch), as the batch has sequences")
    }
    if let vocabularyBlocks {
      guard vocabularyBlocks >= 1 else {
        throw .invalidSize(
          argument: "vocabulary blocks", value: vocabularyBlocks, expected: "1 or more")
      }
      guard gradientGroups != nil else {
        throw .unsupported(
          argument: "gradient groups", value: "none",
          expected: "a number, beside vocabulary blocks")
      }
    }
    if let clip, !(clip > 0 && clip.isFinite) {
      throw .invalidValue(argument: "clip", value: clip, expected: "a finite number above 0")
    }
  }

  /// The most sequences of a pass.
  package var passSequences: Int {
    guard let gradientGroups, gradientGroups > 0 else { return microBatch }
    return min(microBatch, (batch - 1) / gradientGroups + 1)
  }

  /// AdamW for the parameters that decay, or for the others.
  func rule(decays: Bool) throws(EmbedError) -> UpdateRule {
    try .adamW(
      learningRate: schedule, beta1: beta1, beta2: beta2, epsilon: epsilon,
      weightDecay: decays ? weightDecay : 0)
  }
}

/// What a step did.
public struct StepReport: Hashable, Sendable {
  /// The number of the step, from 1 on.
  public let step: Int
  /// The mean loss of its batch before the step, in nats a token.
  public let loss: Double
  /// The norm of its gradient before clipping.
  public let gradientNorm: Double
  /// The rate of its step.
  public let learningRate: Double
  /// The tokens of its batch.
  public let tokens: Int
}
