// How a rotary scheme sets the angle of each pair. A new scheme is one file with a type of this protocol.
//
// P pairs, r = 2P rotated elements of a head, L the length the model was trained with.

/// What all schemes start from.
public struct RotaryGeometry: Hashable, Sendable {
  /// The rotated elements of a head, r.
  public var rotaryDim: Int
  /// The ratio of the longest to the shortest wavelength.
  public var base: Double

  /// Takes both as they are.
  public init(rotaryDim: Int, base: Double) {
    self.rotaryDim = rotaryDim
    self.base = base
  }

  /// base^(-2i/r) for i in 0..<r/2: the paper's angles, radians a position.
  public var frequencies: [Double] { frequencies(base: base) }

  /// The same with another base.
  public func frequencies(base: Double) -> [Double] {
    (0..<rotaryDim / 2).map { power(base, -2 * Double($0) / Double(rotaryDim)) }
  }
}

/// The angles of a scheme.
public struct RotaryFrequencies: Hashable, Sendable {
  /// Radians a position, one a pair.
  public var radians: [Double]
  /// Multiplies cosines and sines, so that logits grow by its square.
  public var attentionFactor: Double

  /// Takes both as they are.
  public init(_ radians: [Double], attentionFactor: Double = 1) {
    self.radians = radians
    self.attentionFactor = attentionFactor
  }
}

/// Which of a scheme's angles are in force. Keys that were rotated under another scale than the
/// queries are stale.
public enum RotaryScale: Hashable, Sendable {
  /// Those within the trained length; the only ones of most schemes.
  case trained
  /// Those beyond it.
  case extended
  /// Those for sequences of this many tokens.
  case length(Int)
}

/// A way to set the angle of each pair.
public protocol RotaryScaling: Sendable {
  /// The angles under a scale.
  ///
  /// - Throws: `EmbedError` where the scheme's numbers do not fit the geometry.
  func frequencies(
    _ geometry: RotaryGeometry, under scale: RotaryScale
  ) throws(EmbedError) -> RotaryFrequencies

  /// The scale for a sequence of `length` tokens; by default always `.trained`.
  func scale(length: Int) -> RotaryScale
}

extension RotaryScaling {
  /// The scale for a sequence of `length` tokens.
  public func scale(length: Int) -> RotaryScale { .trained }
}

/// A scheme's number, if it is finite and above 0.
package func requirePositive(_ argument: String, _ value: Double) throws(EmbedError) {
  guard value.isFinite, value > 0 else {
    throw .invalidValue(argument: argument, value: value, expected: "a finite number above 0")
  }
}
