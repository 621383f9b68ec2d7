// Rotary positions as published: Su et al., "RoFormer: Enhanced Transformer with Rotary Position
// Embedding", 2021.

/// base^(-2i/r), at any length.
public struct NoScaling: RotaryScaling {
  /// What a configuration calls it.
  public static let names = ["default", "mrope", "axial"]

  /// Takes nothing.
  public init() {}

  /// Reads the scheme's fields.
  public init(_ fields: RotaryFields) {}

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    RotaryFrequencies(geometry.frequencies)
  }
}
