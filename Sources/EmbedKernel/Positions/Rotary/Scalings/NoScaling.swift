// Rotary positions as published: Su et al., "RoFormer: Enhanced Transformer with Rotary Position
// Embedding", 2021.

/// base^(-2i/r), at any length.
public struct NoScaling: RotaryScaling {
  public static let names = ["default", "mrope", "axial"]

  public init() {}

  public init(_ fields: RotaryFields) {}

  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    RotaryFrequencies(geometry.frequencies)
  }
}
