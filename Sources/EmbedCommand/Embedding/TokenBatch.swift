// Ids `[batch, context]`, from whatever integers a file has.

internal import EmbedKernel

/// Token ids of a batch.
struct TokenBatch {
  let ids: [Int64]
  let batch: Int
  let context: Int

  /// The ids of a file.
  init(_ file: ArrayFile) throws {
    ids = try file.integers()
    try file.require(rank: 2)
    (batch, context) = (file.shape[0], file.shape[1])
  }

  init(_ ids: [Int32], batch: Int, context: Int) {
    self.ids = ids.map { Int64($0) }
    (self.batch, self.context) = (batch, context)
  }
}
