// Rotary positions as published: Su et al., "RoFormer: Enhanced Transformer with Rotary Position
// Embedding", 2021.

/// base^(-2i/r), at any length.
public struct NoScaling: RotaryScaling {
  /// Takes nothing.
  public init() {}

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    RotaryFrequencies(geometry.frequencies)
  }
}
