// The scaling schemes that a model's configuration can name: a line each, and how each reads its fields
// (`RotaryScalings+Fields`).

public import EmbedKernel

/// A scheme that a configuration can name.
public protocol PublishedScaling: RotaryScaling {
  /// The scheme's names in a configuration's `rope_type`, the usual one first.
  static var names: [String] { get }

  /// Whether a configuration's partial rotary factor leaves the rotary dim that of the whole head;
  /// by default false.
  static var keepsWholeHead: Bool { get }

  /// Reads the scheme's fields from a configuration.
  ///
  /// - Throws: `invalidField`, naming what is missing or out of range.
  init(_ fields: RotaryFields) throws(EmbedError)
}

extension PublishedScaling {
  /// All pairs of the head are there, turning or not.
  public static var keepsWholeHead: Bool { false }
}

/// The schemes that a configuration can name.
public enum RotaryScalings {
  /// One line a scheme.
  public static let all: [any PublishedScaling.Type] = [
    NoScaling.self,
    LinearScaling.self,
    NTKScaling.self,
    DynamicNTKScaling.self,
    NTKByPartsScaling.self,
    YaRNScaling.self,
    LongRoPEScaling.self,
    Llama3Scaling.self,
    ProportionalScaling.self,
  ]

  /// The scheme that a configuration calls `name`.
  ///
  /// - Throws: `invalidField` with the names there are.
  public static func named(
    _ name: String, field: String = "rope_type"
  ) throws(EmbedError) -> any PublishedScaling.Type {
    guard let found = all.first(where: { $0.names.contains(name) }) else {
      throw .invalidField(
        field: field, found: "\"\(name)\"",
        expected: "one of " + all.flatMap { $0.names }.joined(separator: ", "))
    }
    return found
  }
}
