// The keys and values of the tokens that a causal model has read, so that the next token costs a pass
// over itself alone.
//
// T tokens, D dim, L layers, V vocabulary.

public import EmbedKernel

/// What a model keeps of a text it reads token by token: 8 * L * D bytes a token.
///
/// A value of this class belongs to one thread at a time, and to one model whose parameters stay as
/// they are while it holds tokens.
public final class KeyValueCache {
  /// The most tokens that it may hold.
  public let context: Int
  /// The tokens that it holds.
  public private(set) var count = 0

  let configuration: GPTConfiguration
  private let workspace: GPTWorkspace
  private var memory: AlignedBuffer<Float>
  private var capacity = 0

  /// A cache of nothing yet; memory follows the tokens that are read.
  ///
  /// - Parameters:
  ///   - context: The most tokens; nil for the model's context, or what its positions were extended to.
  ///   - threads: The threads of a pass; nil for all CPUs.
  /// - Throws: `unsupported` for a bidirectional model, whose tokens see the later ones;
  ///   `contextTooLong` past the rows of a position table, `invalidSize`, `outOfMemory`.
  public init(for model: GPT, context: Int? = nil, threads: Int? = nil) throws(EmbedError) {
    let sizes = model.configuration
    guard sizes.direction == .causal else {
      throw .unsupported(
        argument: "direction", value: sizes.direction.rawValue,
        expected: "causal: what a token's keys say must not depend on later tokens")
    }
    let context = context ?? model.longest
    guard context >= 1 else {
      throw .invalidSize(argument: "context", value: context, expected: "1 or more")
    }
    if let maximum = model.input.maximumContext, context > maximum, sizes.positions == .learned {
      throw .contextTooLong(offset: 0, context: context, maximum: maximum)
    }
    let workspace = try GPTWorkspace(
      for: model, batch: 1, context: min(context, Self.stretch), purpose: .evaluation,
      threads: threads)
    let memory = try AlignedBuffer<Float>(count: 0)
    self.context = context
    self.workspace = workspace
    self.memory = memory
    configuration = sizes
  }

  /// The bytes of keys, values and the memory of a pass.
  public var memoryBytes: Int { 4 * memory.count + workspace.memoryBytes }

  /// Forgets all tokens; keeps the memory.
  public func removeAll() { count = 0 }

  /// Forgets the last tokens, so that others may be read in their place.
  public func removeLast(_ tokens: Int = 1) {
    precondition((0...count).contains(tokens), "more tokens than the cache holds")
    count -= tokens
  }

  /// Tokens that are read at a time.
  private static let stretch = 256

  /// Reads tokens and computes the logits of the one that follows them.
  fileprivate func read(
    _ ids: Span<Int32>, _ model: GPT, into logits: UnsafeMutablePointer<Float>
  ) throws(EmbedError) {
    try reserve(count + ids.count)
    try model.reach(count + ids.count)
    let before = count
    do throws(EmbedError) {
      var start = 0
      while start < ids.count {
        let end = min(ids.count, start + workspace.context)
        let call = try Batch(
          ids.extracting(start..<end), targets: nil, batch: 1, context: end - start, workspace,
          configuration)
        let rows = unsafe KeyValueRows(
          base: memory.unsafeBuffer.baseAddress.unsafelyUnwrapped, count: count,
          capacity: capacity, dim: configuration.dim)
        try OneThreadedBLAS.run { () throws(EmbedError) in
          try model.forward(call, workspace, after: rows)
          if end == ids.count { unsafe model.writeLastLogits(call, workspace, into: logits) }
        }
        count += end - start
        start = end
      }
    } catch {
      count = before
      throw error
    }
  }

  /// Grows to at least `tokens`, by half again, and keeps what is there.
  private func reserve(_ tokens: Int) throws(EmbedError) {
    guard tokens > capacity else { return }
    let larger = min(context, max(tokens, capacity + capacity / 2, 64))
    let (layers, dim) = (configuration.layers, configuration.dim)
    let next = try AlignedBuffer<Float>(count: elementCount("cache", larger, 2 * layers, dim))
    for part in 0..<2 * layers where count > 0 {
      unsafe (next.unsafeBuffer.baseAddress.unsafelyUnwrapped + part * larger * dim).update(
        from: memory.unsafeBuffer.baseAddress.unsafelyUnwrapped + part * capacity * dim,
        count: count * dim)
    }
    memory = next
    capacity = larger
  }
}

extension GPT {
  /// The tokens that a model sees at most: its trained context, or what its positions were extended to.
  var longest: Int { max(configuration.context, input.maximumContext ?? 0) }

  /// Reads tokens after those that a cache holds, and computes the logits of the one that follows.
  ///
  /// They are those of ``lastLogits(_:batch:context:into:in:)`` over all tokens, but for rounding. Costs
  /// a pass over `ids` alone, and attention to what is held.
  ///
  /// - Parameters:
  ///   - ids: The next tokens, one or more.
  ///   - cache: Made for this model.
  ///   - logits: Shape `[vocabulary]`.
  /// - Throws: `contextTooLong` where the cache has no room, `tokenOutOfRange`,
  ///   `wrongElementCount`, `unsupported` for a cache of another configuration; it then holds what it
  ///   held before. Allocates nothing but where the cache grows.
  public func nextLogits(
    _ ids: Span<Int32>, after cache: KeyValueCache, into logits: inout MutableSpan<Float>
  ) throws(EmbedError) {
    guard cache.configuration == configuration else {
      throw .unsupported(
        argument: "cache", value: "one of another configuration",
        expected: "a cache made for this model")
    }
    guard !ids.isEmpty else {
      throw .invalidSize(argument: "ids", value: 0, expected: "1 or more")
    }
    guard logits.count == configuration.vocabulary else {
      throw .wrongElementCount(
        argument: "logits", expected: configuration.vocabulary, shape: [configuration.vocabulary],
        actual: logits.count)
    }
    guard ids.count <= cache.context - cache.count else {
      throw .contextTooLong(offset: cache.count, context: ids.count, maximum: cache.context)
    }
    for i in ids.indices where !(0..<configuration.vocabulary).contains(Int(ids[i])) {
      throw .tokenOutOfRange(
        id: Int64(ids[i]), batchRow: 0, position: i, vocabulary: configuration.vocabulary)
    }
    let target = unsafe logits.withUnsafeMutableBufferPointer {
      unsafe $0.baseAddress.unsafelyUnwrapped
    }
    try unsafe cache.read(ids, self, into: target)
  }
}

/// A cache as a pass sees it: keys and values of each layer, `[L, 2, capacity, D]`.
@safe struct KeyValueRows {
  let base: UnsafeMutablePointer<Float>
  /// The tokens before the call's.
  let count: Int
  let capacity: Int
  let dim: Int

  func layer(_ index: Int) -> Layer {
    let keys = unsafe base + index * 2 * capacity * dim
    return unsafe Layer(keys: keys, values: keys + capacity * dim, count: count, dim: dim)
  }

  /// Those of one layer, `[capacity, D]` each.
  @safe struct Layer {
    let keys: UnsafeMutablePointer<Float>
    let values: UnsafeMutablePointer<Float>
    let count: Int
    let dim: Int

    /// Where the call's values go.
    var newValues: UnsafeMutablePointer<Float> { unsafe values + count * dim }

    /// Takes the call's keys.
    func takeKeys(_ rows: UnsafeMutablePointer<Float>, stride: Int, _ tokens: Int) {
      for token in 0..<tokens {
        unsafe (keys + (count + token) * dim).update(from: rows + token * stride, count: dim)
      }
    }
  }
}
