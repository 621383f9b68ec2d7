// Sums over the tokens of a call that come out the same for every number of threads: tokens are cut
// into chunks by their number alone, each chunk sums for itself, and the chunks' sums are added in
// order.

internal import EmbedKernel

/// The tokens of a call in chunks.
struct TokenChunks {
  let tokens: Int
  let count: Int

  /// - Parameter limit: The most chunks: as many sums are kept.
  init(tokens: Int, limit: Int = 64) {
    self.tokens = tokens
    count = max(1, min(tokens, limit))
  }

  /// The tokens of chunk `chunk`.
  func range(_ chunk: Int) -> Range<Int> {
    chunk * tokens / count..<(chunk + 1) * tokens / count
  }

  /// Adds the chunks' sums, `width` numbers each, into `width` numbers.
  func total(_ sums: borrowing AlignedBuffer<Double>, width: Int) -> [Double] {
    var total = [Double](repeating: 0, count: width)
    for chunk in 0..<count {
      for i in 0..<width { total[i] += unsafe sums.unsafeBuffer[chunk * width + i] }
    }
    return total
  }
}
