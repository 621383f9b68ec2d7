// Angles that are no scheme's: learned ones, or those of a file.

/// Angles as they are given.
public struct FixedFrequencies: RotaryScaling {
  /// What a configuration calls it.
  public static let names: [String] = []
  private let angles: RotaryFrequencies

  /// - Parameter angles: One a pair.
  public init(_ angles: RotaryFrequencies) { self.angles = angles }

  /// - Throws: Always: no configuration holds frequencies.
  public init(_ fields: RotaryFields) throws(EmbedError) {
    throw fields.fault("rope_type", "fixed frequencies", "a scheme that a configuration can name")
  }

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    angles
  }
}
