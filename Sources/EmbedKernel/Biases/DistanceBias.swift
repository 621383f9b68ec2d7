// Biases that depend on a head and a distance alone: a scheme is one line of formula.
//
// n = query position - key position.

/// A bias that depends on the head and on n = query position - key position alone.
///
/// A scheme is its formula. Wrap it in a `DistanceTable` to add it at the speed of a plain addition;
/// on its own it computes the formula for each logit.
public protocol DistanceBias: AttentionBias {
  /// The bias of `head` at distance `distance` = query position - key position, exact to Double.
  func value(head: Int, distance: Int) -> Double
}

extension DistanceBias {
  /// The bias at the distance between the two.
  public func value(head: Int, query: Int, key: Int) -> Double {
    value(head: head, distance: query - key)
  }
}

/// A distance bias with parameters that training moves.
public protocol TrainedDistanceBias: DistanceBias {
  /// The number of parameters.
  var parameterCount: Int { get }

  /// Adds to `gradient`, shape `[parameterCount]`, the slope of the bias of `head` at `distance`
  /// times `weight`, the gradient of that bias.
  func addGradient(
    head: Int, distance: Int, weight: Double, into gradient: UnsafeMutableBufferPointer<Float>)
}
