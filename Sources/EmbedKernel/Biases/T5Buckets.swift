// T5's learned bias: distances fall into buckets, exact ones near, wider ones far, and each bucket
// has a trained number for each head. Raffel et al., "Exploring the Limits of Transfer Learning with
// a Unified Text-to-Text Transformer", 2020.
//
// Bucket borders are integers, found once in Double: no logarithm of a float decides a border.

internal import CSystem

/// Which bucket each distance falls into.
public struct DistanceBuckets: Sendable, Hashable {
  /// Whether keys after their query have buckets of their own.
  public enum Direction: String, CaseIterable, Sendable {
    /// All buckets are for keys before the query; keys after it share bucket 0. For decoders.
    case causal
    /// Half the buckets are for keys after the query. For encoders.
    case bidirectional
  }

  /// The number of buckets.
  public let count: Int
  /// The distance from which on all fall into the last bucket.
  public let maximumDistance: Int
  /// Whether keys after their query have buckets of their own.
  public let direction: Direction
  /// The first distance of each bucket of one direction, rising.
  public let thresholds: [Int]

  /// Buckets as T5 lays them: the first half of those of a direction hold one distance each, the
  /// others grow in proportion to the distance.
  ///
  /// - Throws: `invalidSize` for fewer buckets than 2 a direction, an odd number of them in both
  ///   directions, or a maximum distance that is not past the exact buckets.
  public init(
    count: Int = 32, maximumDistance: Int = 128, direction: Direction
  ) throws(EmbedError) {
    let isTwoWay = direction == .bidirectional
    guard count >= (isTwoWay ? 4 : 2), count <= 1 << 20, !isTwoWay || count % 2 == 0 else {
      throw .invalidSize(
        argument: "buckets", value: count,
        expected: isTwoWay ? "an even number from 4 on" : "2 or more")
    }
    let perDirection = isTwoWay ? count / 2 : count
    let exact = perDirection / 2
    guard maximumDistance > exact else {
      throw .invalidSize(
        argument: "maximum distance", value: maximumDistance, expected: "more than \(exact)")
    }
    self.count = count
    self.maximumDistance = maximumDistance
    self.direction = direction
    let ratio = Double(maximumDistance) / Double(exact)
    thresholds = (0..<perDirection).map { bucket in
      guard bucket > exact else { return bucket }
      let step = Double(bucket - exact) / Double(perDirection - exact)
      let border = Double(exact) * pow(ratio, step)
      // A border that is an integer in exact arithmetic must not move by a rounding of pow.
      let nearest = border.rounded()
      return Int(
        saturating: abs(border - nearest) < 1e-9 * border ? nearest : border.rounded(.up))
    }
  }

  /// The bucket of `distance` = query position - key position.
  public func bucket(_ distance: Int) -> Int {
    let isAfter = distance < 0
    if isAfter && direction == .causal { return 0 }
    let magnitude = Int(clamping: distance.magnitude)
    let bucket = (1..<thresholds.count).partitionPoint { thresholds[$0] > magnitude } - 1
    return bucket + (isAfter ? thresholds.count : 0)
  }
}

/// A trained number for each bucket of distances and each head.
public final class T5Bias: TrainedDistanceBias {
  /// Which bucket each distance falls into.
  public let buckets: DistanceBuckets
  /// The numbers, shape `[buckets, heads]`, as T5's checkpoints hold them.
  public let weights: EmbeddingTable<Float>

  /// A bias over `weights`, shape `[buckets, heads]`; it is shared, not copied. After training moved
  /// it, refresh the `DistanceTable` made of this.
  ///
  /// - Throws: `invalidSize` where the rows are not the buckets.
  public init(_ buckets: DistanceBuckets, weights: EmbeddingTable<Float>) throws(EmbedError) {
    guard weights.rows == buckets.count else {
      throw .invalidSize(
        argument: "rows of the bucket table", value: weights.rows, expected: "\(buckets.count)")
    }
    self.buckets = buckets
    self.weights = weights
  }

  /// `t5`.
  public var name: String { "t5" }
  /// The columns of the weights.
  public var heads: Int? { weights.dim }
  /// All weights.
  public var parameterCount: Int { weights.rows * weights.dim }

  /// The weight of the distance's bucket.
  public func value(head: Int, distance: Int) -> Double {
    Double(weights[buckets.bucket(distance), head])
  }

  /// Adds to the bucket's weight.
  public func addGradient(
    head: Int, distance: Int, weight: Double, into gradient: UnsafeMutableBufferPointer<Float>
  ) {
    unsafe gradient[buckets.bucket(distance) * weights.dim + head] += Float(weight)
  }
}
