// Transformer-XL's relative term: the query against a projected sinusoid of the distance, and two
// trained vectors that stand in for the query where position, or content, alone counts. Dai et al.,
// "Transformer-XL: Attentive Language Models Beyond a Fixed-Length Context", 2019; XLNet has it too.
//
// H heads, d head dim, M model dim, n = query position - key position, R_n the sinusoid of n.

internal import CSystem
public import EmbedKernel

/// The bias scale · (u · k_j + (q_i + v) · W R_n): with the logits' own scale · q_i · k_j this makes
/// scale · ((q_i + u) · k_j + (q_i + v) · W R_n).
///
/// R_n is the sines of n·10000^(-2m/M), then the cosines. The rows W R_n are computed once for the
/// distances in reach; a pair of query and key reads its row at the place that their distance says,
/// so the published shift of a whole tensor is never made.
@safe public final class TransformerXLBias: TrainedBias {
  /// u, shape `[heads, headDim]`.
  public let contentBias: EmbeddingTable<Float>
  /// v, shape `[heads, headDim]`.
  public let positionBias: EmbeddingTable<Float>
  /// W, shape `[heads·headDim, model]`.
  public let projection: EmbeddingTable<Float>
  /// Multiplies the bias, as it multiplies the product of queries and keys.
  public let scale: Double

  let sinusoids: ReachTable<Float>
  /// W R_n for each head and distance.
  let rows: ReachTable<Float>
  /// scale · v · W R_n for each head and distance.
  let heights: ReachTable<Float>

  /// A bias over the three tables, which are shared, not copied; `refresh()` after training moved
  /// them.
  ///
  /// - Parameter scale: 1/sqrt(headDim) where it is not given.
  /// - Throws: `invalidSize` where the tables do not fit each other, `invalidValue` for a scale that
  ///   is not finite.
  public init(
    contentBias: EmbeddingTable<Float>, positionBias: EmbeddingTable<Float>,
    projection: EmbeddingTable<Float>,
    scale: Double? = nil
  ) throws(EmbedError) {
    let (heads, dim, model) = (contentBias.rows, contentBias.dim, projection.dim)
    guard positionBias.rows == heads, positionBias.dim == dim else {
      throw .wrongElementCount(
        argument: "position bias", expected: heads * dim, shape: [heads, dim],
        actual: positionBias.rows * positionBias.dim)
    }
    guard projection.rows == heads * dim else {
      throw .invalidSize(
        argument: "rows of the projection", value: projection.rows, expected: "\(heads * dim)")
    }
    guard model % 2 == 0 else {
      throw .invalidSize(
        argument: "columns of the projection", value: model, expected: "an even number")
    }
    let scale = scale ?? 1 / Double(dim).squareRoot()
    guard scale.isFinite else {
      throw .invalidValue(argument: "scale", value: scale, expected: "a finite number")
    }
    self.contentBias = contentBias
    self.positionBias = positionBias
    self.projection = projection
    self.scale = scale
    let frequencies = SinusoidLayout.concatenated.frequencies(dim: model, base: 10_000)
    let sinusoids = ReachTable<Float>(rows: 1, width: model) { snapshot in
      for place in 0..<snapshot.reach.count {
        let distance = Double(snapshot.reach.past - place)
        let row = unsafe snapshot.values.base + place * model
        for (i, frequency) in frequencies.enumerated() {
          unsafe row[i] = Float(sin(distance * frequency))
          unsafe row[model / 2 + i] = Float(cos(distance * frequency))
        }
      }
    }
    self.sinusoids = sinusoids
    rows = ReachTable(rows: heads, width: dim) { (snapshot) throws(EmbedError) in
      try DistanceBlock.fill(snapshot, from: sinusoids, projection, dim: dim)
    }
    heights = ReachTable(rows: heads) { (snapshot) throws(EmbedError) in
      try sinusoids.cover(snapshot.reach)
      let source = unsafe sinusoids.newest.origin() - snapshot.reach.past * model
      for head in 0..<heads {
        // v · W R = (transpose of W v) · R
        var turned = [Double](repeating: 0, count: model)
        for i in 0..<dim {
          let v = Double(positionBias[head, i]) * scale
          for m in 0..<model { turned[m] += v * Double(projection[head * dim + i, m]) }
        }
        for place in 0..<snapshot.reach.count {
          var sum = 0.0
          for m in 0..<model { unsafe sum += turned[m] * Double(source[place * model + m]) }
          unsafe snapshot.values.base[head * snapshot.reach.count + place] = Float(sum)
        }
      }
    }
  }

  /// Projects the sinusoids again, after training moved W or v. No other thread may use the bias
  /// meanwhile.
  public func refresh() throws(EmbedError) {
    try rows.refresh()
    try heights.refresh()
  }

  /// `transformer-xl`.
  public var name: String { "transformer-xl" }
  /// The rows of u.
  public var heads: Int? { contentBias.rows }
  /// The columns of u.
  public var headDim: Int? { contentBias.dim }
  /// u, then v, then W.
  public var parameterCount: Int {
    2 * contentBias.rows * contentBias.dim + projection.rows * projection.dim
  }

  /// Zero: the bias depends on vectors.
  public func value(head: Int, query: Int, key: Int) -> Double { 0 }

  /// Grows the tables, and brings rows that an optimiser left behind up to date.
  public func prepare(_ reach: BiasReach) throws(EmbedError) {
    unsafe _ = (contentBias.unsafeBuffer, positionBias.unsafeBuffer, projection.unsafeBuffer)
    try rows.cover(reach)
    try heights.cover(reach)
  }

  var dim: Int { contentBias.dim }
}

/// The distances whose projected sinusoids are computed by one product: always as many and always the
/// same ones, so that a row's bits don't depend on how far the table reaches, which earlier calls decide.
private enum DistanceBlock {
  static let count = 64

  /// rows[head, delta] = projection of head · sinusoid of delta
  static func fill(
    _ snapshot: ReachTable<Float>.Snapshot, from sinusoids: ReachTable<Float>,
    _ projection: EmbeddingTable<Float>, dim: Int
  ) throws(EmbedError) {
    let (reach, model) = (snapshot.reach, projection.dim)
    let (first, last) = (block(of: -reach.past), block(of: reach.future))
    try sinusoids.cover(
      BiasReach(past: -first * count, future: last * count + count - 1))
    let origin = unsafe sinusoids.newest.origin()
    let products = try AlignedBuffer<Float>(count: count * dim)
    try OneThreadedBLAS.run { () throws(EmbedError) in
      for head in 0..<projection.rows / dim {
        let matrix = unsafe StridedMatrix(projection.storage.base + head * dim * model, dim, model)
        let target = unsafe snapshot.values.base + (head * reach.count + reach.past) * dim
        for block in first...last {
          let start = block * count
          unsafe MatrixProduct.multiplyTile(
            StridedMatrix(origin + start * model, count, model), matrix.transposed, .overwrite,
            StridedMatrix(products.base, count, dim))
          let wanted = max(start, -reach.past)..<min(start + count, reach.future + 1)
          unsafe (target + wanted.lowerBound * dim).update(
            from: products.base + (wanted.lowerBound - start) * dim, count: wanted.count * dim)
        }
      }
    }
  }

  private static func block(of delta: Int) -> Int {
    delta >= 0 ? delta / count : (delta + 1) / count - 1
  }
}
