// Angles that are no scheme's: learned ones, or those of a file.

/// Angles as they are given.
public struct FixedFrequencies: RotaryScaling {
  private let angles: RotaryFrequencies

  /// - Parameter angles: One a pair.
  public init(_ angles: RotaryFrequencies) { self.angles = angles }

  /// The angles under a scale.
  public func frequencies(_ geometry: RotaryGeometry, under scale: RotaryScale) -> RotaryFrequencies
  {
    angles
  }
}
