// The memory of passes through a model: activations that the backward reads, and gradients. It is
// allocated once, for the largest batch and context; smaller ones use a part of it.
//
// B batch, T context, N = B*T tokens, D dim, H heads, V vocabulary.

public import EmbedKernel

/// What passes of a model write to.
///
/// A value of this class belongs to one pass at a time.
public final class GPTWorkspace {
  /// What a workspace is for.
  public enum Purpose: Sendable {
    /// Forward and backward: keeps the activations of every block.
    case training
    /// Forward alone: blocks share one memory.
    case evaluation
  }

  /// The most sequences of a call.
  public let batch: Int
  /// The most tokens of a sequence.
  public let context: Int
  /// What it is for.
  public let purpose: Purpose
  /// The threads of a pass.
  public let threads: Int
  /// The bytes of all memory.
  public let memoryBytes: Int

  let configuration: GPTConfiguration
  let blocks: [BlockActivations]
  let shared: SharedActivations
  let final: FinalActivations
  let attention: AttentionMemory
  let gradients: GradientMemory?
  var backward: BackwardWorkspace
  private let owners: [FloatMemory]

  /// Allocates the memory for a model's passes.
  ///
  /// - Parameters:
  ///   - batch: The most sequences of a call.
  ///   - context: The most tokens of a sequence.
  ///   - threads: The threads of a pass; nil for all CPUs.
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`; `invalidEnvironment` and
  ///   `unavailableInstructionSet` for what `EMBEDKERNEL_INSTRUCTION_SET` says.
  public convenience init(
    for model: GPT, batch: Int, context: Int, purpose: Purpose, threads: Int? = nil
  ) throws(EmbedError) {
    try self.init(for: model, batch: batch, context: context, purpose, threads, .whole)
  }

  /// Where the logits are.
  enum Head {
    /// Here, some rows at a time.
    case whole
    /// On all ranks, which have the memory for them.
    case divided
  }

  init(
    for model: GPT, batch: Int, context: Int, _ purpose: Purpose, _ threads: Int?, _ head: Head
  ) throws(EmbedError) {
    for (name, value) in [("batch", batch), ("context", context), ("threads", threads ?? 1)]
    where value < 1 {
      throw .invalidSize(argument: name, value: value, expected: "1 or more")
    }
    try RowKernels.check()
    let sizes = model.configuration
    let tokens = try elementCount("tokens", batch, context)
    let threads = min(threads ?? Threads.available, 256)
    var memory = FloatAllocator()
    var blocks: [BlockActivations] = []
    let first = unsafe try memory.floats("input embeddings", tokens, sizes.dim)
    // In evaluation a block's output takes the place of its input.
    let isTraining = purpose == .training
    for layer in 0..<sizes.layers {
      if !isTraining, let shared = blocks.first {
        blocks.append(shared)
      } else {
        let input = unsafe layer == 0 ? first : blocks[layer - 1].output
        blocks.append(
          try unsafe BlockActivations(
            sizes, batch: batch, context: context, input: input,
            output: isTraining ? nil : first, &memory))
      }
    }
    let shared = try SharedActivations(sizes, tokens: tokens, &memory)
    self.shared = shared
    final = try unsafe FinalActivations(
      sizes, batch: batch, context: context, input: blocks[sizes.layers - 1].output, head, &memory)
    attention = try AttentionMemory(
      sizes, batch: batch, context: context, threads: threads, purpose,
      trainsBias: model.biasWeights != nil, &memory)
    gradients =
      isTraining ? try GradientMemory(sizes, tokens: tokens, shared, &memory) : nil
    backward = try BackwardWorkspace(capacity: isTraining ? tokens : 0)
    self.blocks = blocks
    self.batch = batch
    self.context = context
    self.purpose = purpose
    self.threads = threads
    configuration = sizes
    owners = memory.owners
    memoryBytes = memory.bytes
    try model.reach(context)
  }
}

/// What a block's forward writes, and its backward reads.
@safe struct BlockActivations {
  /// The residual stream before the block, in its middle and after it, `[N, D]`.
  let input: UnsafeMutablePointer<Float>
  let middle: UnsafeMutablePointer<Float>
  let output: UnsafeMutablePointer<Float>
  /// What the normalisations keep, `[N]` each.
  let statistics: UnsafeMutablePointer<Float>
  /// `[N, 2, D]` and `[N, D]`.
  let queriesAndKeys: UnsafeMutablePointer<Float>
  let values: UnsafeMutablePointer<Float>
  /// What attention keeps of each query, `[B, H, 2, T]`, and its output, `[N, D]`.
  let attentionStatistics: UnsafeMutablePointer<Float>
  let attended: UnsafeMutablePointer<Float>
  /// Before GELU, `[N, 4 D]`.
  let inner: UnsafeMutablePointer<Float>

  init(
    _ sizes: GPTConfiguration, batch: Int, context: Int, input: UnsafeMutablePointer<Float>,
    output: UnsafeMutablePointer<Float>?, _ memory: inout FloatAllocator
  ) throws(EmbedError) {
    let (tokens, dim) = (batch * context, sizes.dim)
    unsafe self.input = input
    unsafe middle = try memory.floats("residual stream", tokens, dim)
    if let output = unsafe output {
      unsafe self.output = output
    } else {
      unsafe self.output = try memory.floats("residual stream", tokens, dim)
    }
    unsafe statistics = try memory.floats("statistics", tokens, 4)
    unsafe queriesAndKeys = try memory.floats("queries and keys", tokens, 2 * dim)
    unsafe values = try memory.floats("values", tokens, dim)
    unsafe attentionStatistics = try memory.floats("attention statistics", tokens, sizes.heads, 2)
    unsafe attended = try memory.floats("attention output", tokens, dim)
    unsafe inner = try memory.floats("inner layer", tokens, sizes.innerDim)
  }

  func firstNorm(_ block: Block, tokens: Int) -> NormRows {
    unsafe block.firstNorm.rows(mean: statistics, rstd: statistics + tokens)
  }

  func secondNorm(_ block: Block, tokens: Int) -> NormRows {
    unsafe block.secondNorm.rows(mean: statistics + 2 * tokens, rstd: statistics + 3 * tokens)
  }
}

/// What a block's forward makes for its products alone; its backward makes it again, as a pass over
/// rows is cheaper than the memory.
@safe struct SharedActivations {
  /// What a normalisation gives, `[N, D]`.
  let normed: UnsafeMutablePointer<Float>
  /// After GELU, `[N, 4 D]`.
  let activated: UnsafeMutablePointer<Float>

  init(
    _ sizes: GPTConfiguration, tokens: Int, _ memory: inout FloatAllocator
  ) throws(EmbedError) {
    unsafe normed = try memory.floats("normalised rows", tokens, sizes.dim)
    unsafe activated = try memory.floats("inner layer", tokens, sizes.innerDim)
  }
}

/// What comes after the blocks.
@safe struct FinalActivations {
  /// The last block's output, `[N, D]`, and what `ln_f` makes of it and keeps.
  let input: UnsafeMutablePointer<Float>
  let normed: UnsafeMutablePointer<Float>
  let statistics: UnsafeMutablePointer<Float>
  /// `[logitRows, V]`: the logits of all tokens together would be the largest memory by far. No row where the
  /// head is divided.
  let logits: UnsafeMutablePointer<Float>
  let logitRows: Int
  /// `[N]`.
  let losses: UnsafeMutablePointer<Float>

  init(
    _ sizes: GPTConfiguration, batch: Int, context: Int, input: UnsafeMutablePointer<Float>,
    _ head: GPTWorkspace.Head, _ memory: inout FloatAllocator
  ) throws(EmbedError) {
    let tokens = batch * context
    unsafe self.input = input
    unsafe normed = try memory.floats("normalised rows", tokens, sizes.dim)
    unsafe statistics = try memory.floats("statistics", tokens, 2)
    switch head {
    case .whole:
      logitRows = LogitChunks.rows(tokens, vocabulary: sizes.vocabulary)
      unsafe logits = try memory.floats("logits", logitRows, sizes.vocabulary)
    case .divided:
      logitRows = 0
      unsafe logits = try memory.floats("logits", 1)
    }
    unsafe losses = try memory.floats("losses", tokens)
  }

  func norm(_ parameters: NormParameters, tokens: Int) -> NormRows {
    unsafe parameters.rows(mean: statistics, rstd: statistics + tokens)
  }
}

/// What attention works in, which blocks share.
@safe struct AttentionMemory {
  /// `[parts, scratchCount]`.
  let tiles: UnsafeMutablePointer<Float>
  private let parts: Int
  /// The gradient of the bias at each distance, `[B, H, distances]`; nil where it is not trained.
  let distances: UnsafeMutablePointer<Float>?

  init(
    _ sizes: GPTConfiguration, batch: Int, context: Int, threads: Int,
    _ purpose: GPTWorkspace.Purpose, trainsBias: Bool, _ memory: inout FloatAllocator
  ) throws(EmbedError) {
    let isTraining = purpose == .training
    let lanes = try elementCount("heads", batch, sizes.heads)
    // More parts than threads: one that starts late takes fewer.
    parts = min(4 * threads, lanes * ((context - 1) / AttentionRows.queryTile + 1))
    // In evaluation there may be cached keys beside the call's own.
    unsafe tiles = try memory.floats(
      "attention tiles", parts,
      AttentionRows.scratchCount(
        queries: context, keys: isTraining ? context : AttentionRows.keyTile, backward: isTraining))
    unsafe distances =
      isTraining && trainsBias
      ? try memory.floats("bias gradient", lanes, sizes.reach(context).count) : nil
  }

  /// The parts of a call with so many units of work.
  func parts(of units: Int) -> Int { min(parts, units) }
}

/// Gradients of activations, which blocks share.
@safe struct GradientMemory {
  /// Of the residual stream, `[N, D]`.
  let residual: UnsafeMutablePointer<Float>
  /// Of rows of D and of the inner layer, in the place of what they are the gradients of.
  let rows: UnsafeMutablePointer<Float>
  let inner: UnsafeMutablePointer<Float>
  /// In the place of the inner layer, which a block's backward is through with by then.
  let queriesAndKeys: UnsafeMutablePointer<Float>
  let values: UnsafeMutablePointer<Float>
  /// Sums of normalisations.
  let normSums: UnsafeMutablePointer<Float>

  init(
    _ sizes: GPTConfiguration, tokens: Int, _ shared: SharedActivations,
    _ memory: inout FloatAllocator
  ) throws(EmbedError) {
    let dim = sizes.dim
    unsafe residual = try memory.floats("residual gradient", tokens, dim)
    unsafe rows = shared.normed
    unsafe inner = shared.activated
    unsafe queriesAndKeys = inner
    unsafe values = inner + 2 * tokens * dim
    unsafe normSums = try memory.floats("sums", LayerNormBackward.chunks, 2 * dim)
  }
}

/// Owned floats that several structs of pointers look into.
private final class FloatMemory {
  let buffer: AlignedBuffer<Float>

  init(_ count: Int) throws(EmbedError) { buffer = try AlignedBuffer(count: count) }
}

/// Hands out memory and keeps its owners.
struct FloatAllocator {
  fileprivate private(set) var owners: [FloatMemory] = []
  private(set) var bytes = 0

  /// Zeroed floats.
  mutating func floats(
    _ name: String, _ a: Int, _ b: Int = 1, _ c: Int = 1
  ) throws(EmbedError) -> UnsafeMutablePointer<Float> {
    let count = try elementCount(name, a, b, c)
    // Each may be small enough for the machine and all together not.
    let total = bytes + 4 * count
    guard total <= SystemMemory.bytes else { throw .outOfMemory(bytes: total) }
    if total / SystemMemory.large > bytes / SystemMemory.large {
      try SystemMemory.check(SystemMemory.large)
    }
    let memory = try FloatMemory(count)
    owners.append(memory)
    bytes += 4 * count
    return unsafe memory.buffer.unsafeBuffer.baseAddress.unsafelyUnwrapped
  }
}
