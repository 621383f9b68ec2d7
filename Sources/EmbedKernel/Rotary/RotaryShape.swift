// The sizes and orders that fix a rotary call: which element of a tensor belongs to which pair,
// head and token.

/// Which elements of a head's vector form a pair that is rotated.
///
/// Models trained with one layout need the other's order of projection rows to run with it; see
/// `RotaryLayout.convertProjection(_:heads:headDim:rotaryDim:rowLength:to:into:)`.
public enum RotaryLayout: String, CaseIterable, Sendable {
  /// Element i with element i + rotaryDim/2: Llama as Hugging Face stores it, Qwen, GPT-NeoX.
  case halves = "half"
  /// Element 2i with element 2i + 1: the paper's form, GPT-J, Cohere, GLM, Llama as Meta stores it.
  case interleaved
}

/// Which way to rotate.
public enum RotaryDirection: String, CaseIterable, Sendable {
  /// By the angle of the position.
  case forward
  /// By its negative: the transpose of `forward`, which takes output gradients to input gradients.
  case backward
}

/// Whether a tensor holds queries or keys: alike for most schemes, inverse decays in xPos.
public enum RotaryRole: String, CaseIterable, Sendable {
  /// Queries.
  case queries
  /// Keys.
  case keys
}

/// The order of a tensor's dimensions.
public enum HeadOrder: String, CaseIterable, Sendable {
  /// `[batch, heads, context, headDim]`.
  case headsFirst
  /// `[batch, context, heads, headDim]`.
  case contextFirst
}

/// The sizes of queries or of keys. With grouped queries the two differ in `heads` alone.
public struct RotaryShape: Hashable, Sendable {
  /// The number of sequences; 0 is an empty batch.
  public var batch: Int
  /// The number of heads of this tensor.
  public var heads: Int
  /// The number of tokens of a sequence.
  public var context: Int
  /// The number of floats of a head's vector.
  public var headDim: Int
  /// The order of the dimensions.
  public var order: HeadOrder

  /// Takes the sizes as they are; a call checks them.
  public init(
    batch: Int, heads: Int, context: Int, headDim: Int, order: HeadOrder = .headsFirst
  ) {
    self.batch = batch
    self.heads = heads
    self.context = context
    self.headDim = headDim
    self.order = order
  }

  /// The dimensions in memory order.
  public var dimensions: [Int] {
    switch order {
    case .headsFirst: [batch, heads, context, headDim]
    case .contextFirst: [batch, context, heads, headDim]
    }
  }

  var isHeadsFirst: Bool { order == .headsFirst }
  package var tokens: Int { batch &* context }
  var elements: Int { batch &* heads &* context &* headDim }
  /// Elements between a token's vectors of consecutive heads, and a head's of consecutive tokens.
  var headStride: Int { isHeadsFirst ? context &* headDim : headDim }
  var tokenStride: Int { isHeadsFirst ? headDim : heads &* headDim }
  var sequenceStride: Int { heads &* context &* headDim }

  /// Where the vector of a head of token `token`, counted over the batch, begins.
  @inline(__always)
  package func vector(token: Int, head: Int) -> Int {
    let (sequence, column) = token.quotientAndRemainder(dividingBy: context)
    return sequence &* sequenceStride &+ column &* tokenStride &+ head &* headStride
  }

  /// Checks the sizes, and that no product of them overflows.
  ///
  /// - Returns: The number of elements.
  func check(headDim expected: Int) throws(EmbedError) -> Int {
    guard batch >= 0 else { throw invalid("batch", batch, "0 or more") }
    guard heads >= 0 else { throw invalid("heads", heads, "0 or more") }
    guard context >= 0 else { throw invalid("context", context, "0 or more") }
    guard headDim == expected else {
      throw invalid("headDim", headDim, "the rotary embedding's, \(expected)")
    }
    // With no heads the tensor is empty, but positions are counted all the same.
    _ = try elementCount("tokens", batch, context)
    let vectors = try elementCount("tensor", batch, heads, context)
    return try elementCount("tensor", vectors, headDim)
  }

  private func invalid(_ argument: String, _ value: Int, _ expected: String) -> EmbedError {
    .invalidSize(argument: argument, value: value, expected: expected)
  }
}

extension Kernels {
  /// The threads of a call on a tensor of `shape`.
  package func threads(_ shape: RotaryShape) throws(EmbedError) -> Int {
    let vectors = shape.tokens &* shape.heads
    return try Plan(
      self, outputBytes: shape.elements &* 4, rows: vectors, dim: max(shape.headDim, 1)
    ).threads
  }
}
