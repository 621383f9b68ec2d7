// xPos: Sun et al., "A Length-Extrapolatable Transformer", 2022, as in torchscale: queries grow and
// keys shrink with the position, so that their product falls with the distance.

/// A decay of each pair with the distance: zeta_i^(distance/scaleBase).
///
///     zeta_i = (2i + 0.4 r) / (1.4 r),  queries * zeta^(p/scaleBase),  keys * zeta^(-p/scaleBase)
///
/// Only for causal attention, where queries stand after keys. The two factors leave fp32's range
/// some 35,000 positions from `center` at a scale base of 512; positions beyond are errors.
public struct XPosDecay: Hashable, Sendable {
  /// The distance over which a pair decays by its zeta.
  public var scaleBase: Double
  /// The position with factor 1; logits do not depend on it.
  public var center: Int

  /// Takes both as they are; making an embedding checks them.
  public init(scaleBase: Double = 512, center: Int = 0) {
    self.scaleBase = scaleBase
    self.center = center
  }

  /// ln zeta_i / scaleBase of each pair.
  func logarithms(rotaryDim: Int) -> [Double] {
    (0..<rotaryDim / 2).map {
      logarithm((2 * Double($0) + 0.4 * Double(rotaryDim)) / (1.4 * Double(rotaryDim))) / scaleBase
    }
  }

  /// How far from `center` all factors and their inverses are normal Floats.
  func reach(rotaryDim: Int) -> Int {
    let steepest = logarithms(rotaryDim: rotaryDim).map { abs($0) }.max() ?? 0
    let range = -logarithm(Double(Float.leastNormalMagnitude))
    return steepest > 0 ? Int(saturating: min(range / steepest, Double(Int32.max))) : Int(Int32.max)
  }
}
