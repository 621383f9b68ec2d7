// What becomes of a bag's rows, and what a call does with padding and with ids outside the table.

public import EmbedKernel

/// What becomes of a bag's rows, as in PyTorch's `EmbeddingBag`; an empty bag gives zeros.
public enum BagPool: String, CaseIterable, Sendable {
  /// Their sum, each row times its weight where there are weights: from zero on, in the order of the ids,
  /// in fp32, each product and sum rounded.
  case sum
  /// The sum without weights, divided by the number of rows.
  case mean
  /// The largest number of each column; of equal ones the first, and one that is not a number where it
  /// comes first. Without weights.
  case max
}

/// The options of a call on bags; the defaults leave nothing out, and throw for ids outside the table.
public struct BagOptions: Hashable, Sendable {
  /// An id that is left out of its bag: it is not in the number of a mean, and gets no gradient.
  public var paddingID: Int?

  /// What to do with an id outside the table. A row of zeros is a row of its bag, in a mean's number too.
  public var unknownIDs: UnknownIDs

  /// Takes the options as they are; a call checks them.
  public init(paddingID: Int? = nil, unknownIDs: UnknownIDs = .error) {
    self.paddingID = paddingID
    self.unknownIDs = unknownIDs
  }
}
