// A batch of ids, checked once, so that what is differentiated has nothing left to throw.

public import EmbedKernel

/// Ids `[batch, context]` with their segments and positions, all inside a layer's tables.
public struct InputBatch: Sendable {
  /// Shape `[batch, context]`.
  public let ids: [Int32]
  /// Shape `[batch, context]`; nil where all tokens are of segment 0.
  public let segmentIDs: [Int32]?
  /// The number of sequences.
  public let batch: Int
  /// The number of tokens of a sequence.
  public let context: Int
  /// Where each token stands.
  public let place: PositionIDs
  /// Which dropout mask to take; nil drops nothing.
  public let trainingStep: UInt64?

  /// Checks ids, segments and positions against `layer`'s tables, by a forward of it.
  ///
  /// - Throws: What the layer's `forward` throws; `invalidSize` for an empty batch, which no matrix
  ///   can hold.
  public init(
    _ ids: [Int32], segmentIDs: [Int32]? = nil, batch: Int, context: Int,
    at place: PositionIDs = .sequential(), trainingStep: UInt64? = nil,
    for layer: InputLayer
  ) throws(EmbedError) {
    guard batch > 0, context > 0 else {
      throw .invalidSize(
        argument: batch > 0 ? "context" : "batch", value: batch > 0 ? context : batch,
        expected: "1 or more")
    }
    self.ids = ids
    self.segmentIDs = segmentIDs
    self.batch = batch
    self.context = context
    self.place = place
    self.trainingStep = trainingStep
    let fused = try layer.makeLayer()
    var output = try fused.makeOutput(batch: batch, context: context)
    try fused.forward(
      ids, segmentIDs: segmentIDs, batch: batch, context: context, at: place,
      trainingStep: trainingStep, into: &output)
  }
}
