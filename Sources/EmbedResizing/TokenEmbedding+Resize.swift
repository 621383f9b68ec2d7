// Growing or cutting a vocabulary. New rows are drawn from the normal distribution that the old
// rows have, so that a new token starts as an average one with the right spread (Hewitt,
// "Initializing New Word Embeddings for Pretrained Language Models", 2021).
//
// The covariance is summed block by block: memory is two [dim, dim] matrices of Doubles and one
// block of rows, whatever the vocabulary.

internal import CBLASCalls
public import EmbedKernel

/// How the rows of new tokens are drawn.
public enum NewRows: Hashable, Sendable {
  /// Normal with the mean of the old rows and `scale` times their covariance; the reference takes
  /// a very small scale, so that new rows lie close to the mean.
  case meanAndCovariance(scale: Double = 1e-9)
  /// The mean of the old rows.
  case mean
  /// As a new table.
  case drawn(Initialization)
}

extension TokenEmbedding {
  /// A layer of `vocabulary` tokens: the old rows, as many as fit, then new ones.
  ///
  /// - Parameters:
  ///   - newRows: How rows past the old vocabulary are drawn. The padding row takes no part in
  ///     the old rows' mean and covariance, and stays the padding row.
  ///   - seed: Draws the same rows for every thread count.
  /// - Throws: `invalidSize` where the vocabulary would lose the padding id, `invalidValue` for a
  ///   negative scale, `factorisationFailed`, `outOfMemory`.
  public func resized(
    vocabulary newVocabulary: Int, newRows: NewRows = .meanAndCovariance(), seed: UInt64 = 0
  ) throws(EmbedError) -> TokenEmbedding {
    let resized = try EmbeddingTable<Float>(rows: newVocabulary, dim: dim)
    let result = try TokenEmbedding(table: resized, paddingID: paddingID)
    let kept = min(vocabulary, newVocabulary) * dim
    unsafe resized.unsafeBuffer.baseAddress.unsafelyUnwrapped
      .update(from: table.unsafeBuffer.baseAddress.unsafelyUnwrapped, count: kept)
    guard newVocabulary > vocabulary else { return result }
    let added = unsafe UnsafeMutableBufferPointer(rebasing: resized.unsafeBuffer[kept...])
    switch newRows {
    case .drawn(let initialization):
      try unsafe initialization.fill(added, seed: seed, stream: RandomStream.addedRows)
    case .mean:
      let mean = RowStatistics.mean(of: self)
      for i in 0..<added.count { unsafe added[i] = Float(mean[i % dim]) }
    case .meanAndCovariance(let scale):
      guard scale.isFinite, scale >= 0 else {
        throw .invalidValue(argument: "scale", value: scale, expected: "a finite number, 0 or more")
      }
      let statistics = try RowStatistics(of: self)
      try unsafe statistics.draw(added, scale: scale, seed: seed)
    }
    return result
  }
}

/// The mean of a table's rows, and a factor F of their covariance: F Fᵀ = covariance.
private struct RowStatistics {
  let mean: [Double]
  let factor: [Double]

  static func mean(of layer: TokenEmbedding) -> [Double] {
    let (table, dim) = (layer.table, layer.dim)
    var sums = [Double](repeating: 0, count: dim)
    for row in 0..<table.rows where row != layer.paddingID {
      let values = table[row]
      for i in 0..<dim { sums[i] += Double(values[i]) }
    }
    let count = Double(max(1, table.rows - (layer.paddingID == nil ? 0 : 1)))
    return sums.map { $0 / count }
  }

  init(of layer: TokenEmbedding) throws(EmbedError) {
    mean = Self.mean(of: layer)
    let (table, dim) = (layer.table, layer.dim)
    let count = table.rows - (layer.paddingID == nil ? 0 : 1)
    var covariance = try SystemMemory.array(0.0, count: elementCount("covariance", dim, dim))
    var block = [Double]()
    block.reserveCapacity(rowsInBlock * dim)
    for row in 0..<table.rows {
      if row != layer.paddingID {
        let values = table[row]
        for i in 0..<dim { block.append(Double(values[i]) - mean[i]) }
      }
      guard block.count == rowsInBlock * dim || row == table.rows - 1, !block.isEmpty else {
        continue
      }
      try OneThreadedBLAS.run { () throws(EmbedError) in
        unsafe ek_blas_dsyrk_lower(
          Int32(dim), Int32(block.count / dim), 1 / Double(max(1, count)), block, Int32(dim), 1,
          &covariance, Int32(dim))
      }
      block.removeAll(keepingCapacity: true)
    }
    factor = try Self.factor(of: &covariance, dim: dim)
  }

  /// The pivoted Cholesky factor, which exists for singular covariances too (fewer rows than dims).
  private static func factor(
    of covariance: inout [Double], dim: Int
  ) throws(EmbedError) -> [Double] {
    var pivots = [Int32](repeating: 0, count: dim)
    var rank: Int32 = 0
    let info = try OneThreadedBLAS.run { () throws(EmbedError) in
      unsafe ek_lapack_dpstrf_lower(Int32(dim), &covariance, Int32(dim), &pivots, &rank, -1)
    }
    guard info >= 0 else { throw .factorisationFailed(routine: "dpstrf", info: Int(info)) }
    var factor = try SystemMemory.array(0.0, count: dim * dim)
    for row in 0..<dim {
      for column in 0..<min(row + 1, Int(rank)) {
        factor[(Int(pivots[row]) - 1) * dim + column] = covariance[row * dim + column]
      }
    }
    return factor
  }

  /// Fills `rows` with mean + sqrt(scale) * F z, z standard normal.
  func draw(
    _ rows: UnsafeMutableBufferPointer<Float>, scale: Double, seed: UInt64
  ) throws(EmbedError) {
    let dim = mean.count
    let normal = try AlignedBuffer<Float>(count: rows.count)
    try unsafe Initialization.normal(sigma: 1)
      .fill(normal.unsafeBuffer, seed: seed, stream: RandomStream.addedRows)
    var z = [Double](repeating: 0, count: dim)
    var value = mean
    for start in stride(from: 0, to: rows.count, by: dim) {
      for i in 0..<dim { z[i] = Double(normal[start + i]) }
      value = mean
      try OneThreadedBLAS.run { () throws(EmbedError) in
        unsafe ek_blas_dgemv(
          false, Int32(dim), Int32(dim), scale.squareRoot(), factor, Int32(dim), z, 1, 1, &value, 1)
      }
      for i in 0..<dim { unsafe rows[start + i] = Float(value[i]) }
    }
  }
}

private let rowsInBlock = 512
