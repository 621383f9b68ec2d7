// What a bias needs to be trained: the gradient of its parameters, and of the queries and keys that
// it reads, from the gradient of the logits.
//
// Each head sums into floats of its own, batch row after batch row; then the heads' sums are
// reduced in order. So the result has the same bits for any number of threads.

/// A bias with parameters that training moves, or that passes gradients to queries and keys.
public protocol TrainedBias: AttentionBias {
  /// The number of parameters.
  var parameterCount: Int { get }

  /// The number of floats a head sums into, for a call of this reach.
  func sumCount(_ reach: BiasReach) -> Int

  /// Adds to the block's sums, and to the gradients of its queries and keys, what the gradient of
  /// its logits gives. Keys that the block's causal mask hides count for nothing.
  func addGradient(_ block: BiasGradientBlock)

  /// Adds what the sums of `head` give to `gradient`, shape `[parameterCount]`.
  func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>)
}

extension TrainedBias {
  /// As many as there are parameters: where nothing else is said, a head sums into their order.
  public func sumCount(_ reach: BiasReach) -> Int { parameterCount }

  /// Adds the head's sums, where they are in the parameters' order.
  public func reduce(
    _ sums: UnsafeBufferPointer<Float>, head: Int, reach: BiasReach,
    into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    for i in 0..<sums.count { unsafe gradient[i] += sums[i] }
  }
}

/// The gradient of the logits of one head for queries and keys at consecutive positions.
@safe public struct BiasGradientBlock {
  /// Where the block stands; its logits are the gradient, for reading.
  public let block: BiasBlock
  /// The reach of the whole call.
  public let reach: BiasReach
  /// The head's sums.
  public let sums: UnsafeMutablePointer<Float>
  /// The gradient of the block's queries, laid out as they are; nil where nobody asks for it.
  public let queryGradient: UnsafeMutablePointer<Float>?
  /// Likewise.
  public let keyGradient: UnsafeMutablePointer<Float>?

  /// The head.
  public var head: Int { block.head }
  /// The queries' positions, a row each.
  public var queries: Range<Int> { block.queries }
  /// The keys' positions, a column each.
  public var keys: Range<Int> { block.keys }

  /// The number of columns that row `row` sees.
  public func visible(_ row: Int) -> Int { block.visible(row) }

  /// The gradient of the logits of row `row`.
  public func gradient(_ row: Int) -> UnsafeBufferPointer<Float> {
    precondition(row >= 0 && row < queries.count, "row out of bounds")
    return unsafe UnsafeBufferPointer(start: block.logits + row * block.stride, count: keys.count)
  }
}

/// Memory that gradients of biases sum into, and that 16-bit vectors of queries and keys are
/// widened to. Kept from call to call: it grows to the largest call seen and stays.
public struct BiasWorkspace: ~Copyable {
  private var buffer: AlignedBuffer<Float>
  private var widened: AlignedBuffer<Float>

  /// Memory for nothing yet.
  public init() throws(EmbedError) {
    let sums = try AlignedBuffer<Float>(count: 0)
    let vectors = try AlignedBuffer<Float>(count: 0)
    buffer = sums
    widened = vectors
  }

  /// Zeros for `count` floats.
  mutating func zeros(_ count: Int) throws(EmbedError) -> UnsafeMutablePointer<Float> {
    if buffer.count < count {
      buffer = try AlignedBuffer(count: count)
    } else {
      unsafe buffer.base.update(repeating: 0, count: count)
    }
    return unsafe buffer.base
  }

  /// Vectors of queries and keys as floats: in place where they are, else in memory of this
  /// workspace. What an earlier call gave is lost.
  ///
  /// - Parameter keys: Of the queries' type; nil where they are not read.
  @usableFromInline
  package mutating func vectors(
    _ queries: Elements, _ keys: Elements?, _ kernels: Kernels
  ) throws(EmbedError) -> AttentionVectors {
    guard queries.type != .float32 else {
      return unsafe AttentionVectors(queries: queries.floats, keys: keys?.floats)
    }
    let count = queries.count + (keys?.count ?? 0)
    if widened.count < count { widened = try AlignedBuffer(count: count) }
    let floats = unsafe widened.unsafeBuffer
    let first = unsafe UnsafeMutableBufferPointer(rebasing: floats[..<queries.count])
    try unsafe kernels.widen(queries, to: first)
    guard let keys else { return unsafe AttentionVectors(queries: UnsafeBufferPointer(first)) }
    let second = unsafe UnsafeMutableBufferPointer(rebasing: floats[queries.count..<count])
    try unsafe kernels.widen(keys, to: second)
    return unsafe AttentionVectors(
      queries: UnsafeBufferPointer(first), keys: UnsafeBufferPointer(second))
  }
}

extension Kernels {
  /// Copies elements of any type to as many floats.
  fileprivate func widen(
    _ elements: Elements, to floats: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try unsafe convert(
      UnsafeRawBufferPointer(
        start: elements.base, count: elements.count * elements.type.byteCount), elements.type,
      elements.count, UnsafeMutableRawBufferPointer(floats), .float32, floats.count)
  }
}

extension EmbeddingTable<Float> {
  /// A copy of the elements.
  package var values: [Float] { unsafe Array(unsafeBuffer) }
}
