// What a backward call may do differently from the plain sum, and where its results go.

/// The options of a backward call; the defaults belong to the defaults of `EmbedOptions`.
public struct BackwardOptions: Hashable, Sendable {
  /// What the forward pass multiplied token rows by; multiplies the token gradient.
  public var scale: Float

  /// Multiplies both gradients: the inverse of a loss scale, or of a number of micro-batches.
  public var gradientScale: Float

  /// An id that gets no gradient. Its positions do.
  public var paddingID: Int?

  /// Whether a token's gradient is divided by how often the token is in the batch.
  public var frequencyScaling: FrequencyScaling

  /// In what order, and how exactly, the gradients of a row's occurrences are summed.
  public var summation: Summation

  /// What the forward pass did with ids outside the vocabulary.
  public var unknownIDs: UnknownIDs

  /// What the forward pass did with positions past the position table's last row.
  public var positionOverflow: PositionOverflow

  /// Takes the options as they are; a call checks them.
  public init(
    scale: Float = 1, gradientScale: Float = 1, paddingID: Int? = nil,
    frequencyScaling: FrequencyScaling = .none, summation: Summation = .chunked,
    unknownIDs: UnknownIDs = .error, positionOverflow: PositionOverflow = .error
  ) {
    self.scale = scale
    self.gradientScale = gradientScale
    self.paddingID = paddingID
    self.frequencyScaling = frequencyScaling
    self.summation = summation
    self.unknownIDs = unknownIDs
    self.positionOverflow = positionOverflow
  }
}

/// Whether a token's gradient depends on how often the token is in the batch.
public enum FrequencyScaling: String, CaseIterable, Sendable {
  /// The sum over the token's occurrences.
  case none
  /// The sum divided by their number: PyTorch's `scale_grad_by_freq`.
  case inverse
}

/// How the output gradients of a row's n occurrences are summed, in fp32. The order is that of the
/// tokens in the batch and does not depend on threads or backends.
///
/// With u = 2^-24, and S the sum of absolute values of an element:
public enum Summation: String, CaseIterable, Sendable {
  /// Runs of 64 occurrences left to right, then adjacent runs as a binary tree. The error is at most
  /// about (63 + log2(n / 64)) u S.
  case chunked
  /// Runs of 8 instead of 64: about (7 + log2(n / 8)) u S.
  case pairwise
  /// Runs of 64 with the rounding errors summed beside (Knuth's TwoSum): about u times the sum
  /// itself, plus n u² S. One and a half times the additions' time, hidden by memory.
  case compensated
}

/// Whether a result replaces what its buffer holds.
public enum GradientWriting: String, CaseIterable, Sendable {
  /// Replaces it: rows that no token touched become zero.
  case overwrite
  /// Is added to it: rows that no token touched are not read.
  case accumulate
}
