// The speed of memory, as a bound on every forward call: rows copied in order and at random by the
// native kernels, past the cache, without anything to compute.
//
// A quick look, some 0.3 s; the benchmark's streaming copy is the figure to compare with.

internal import EmbedKernel

/// Measures how fast rows can be copied.
struct MemoryCeiling {
  /// Bytes of the table and of the output, far beyond any cache.
  static let size = 128 << 20
  private static let dim = 768

  private let table: EmbeddingTable<Float>
  private let output: EmbeddingTable<Float>
  private let inOrder: [Int32]
  private let atRandom: [Int32]

  /// Allocates twice `size`.
  init() throws(EmbedError) {
    let rows = Self.size / (Self.dim * 4)
    table = try EmbeddingTable<Float>(rows: rows, dim: Self.dim)
    output = try EmbeddingTable<Float>(rows: rows, dim: Self.dim)
    inOrder = Array(0..<Int32(rows))
    let generator = Philox4x32(seed: 0)
    atRandom = (0..<rows).map { row in
      Int32(generator.block(UInt64(row)).x % UInt32(rows))
    }
  }

  /// Bytes per second, read and written ones both counted, on `threads` threads.
  func speed(_ order: Order, threads: Int) throws(EmbedError) -> Double {
    let ids = order == .random ? atRandom : inOrder
    let shape = EmbeddingShape(
      vocabulary: table.rows, batch: 1, context: ids.count, dim: Self.dim)
    var best = Double.infinity
    for _ in 0..<10 {
      let time = try seconds { () throws(EmbedError) in
        try output.withMutableSpan { (span) throws(EmbedError) in
          try Kernels(backend: .native, threads: threads).embed(
            ids: ids.span, tokens: table.span, positions: nil, shape: shape, into: &span)
        }
      }
      best = min(best, time)
    }
    return Double(2 * output.rows * output.dim * 4) / best
  }

  /// The order in which rows are read.
  enum Order {
    case sequential
    case random
  }
}
