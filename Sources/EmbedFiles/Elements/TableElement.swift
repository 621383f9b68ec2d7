// What a table or an output may hold. Arithmetic is in Float whatever the storage, and an output
// element is rounded once, to nearest even.

/// How elements are stored.
public enum ElementType: String, CaseIterable, Sendable {
  /// IEEE single precision.
  case float32 = "f32"
  /// IEEE half precision.
  case float16 = "f16"
  /// bfloat16, the upper half of a Float.
  case bfloat16 = "bf16"

  /// Bytes an element takes.
  public var byteCount: Int { self == .float32 ? 4 : 2 }
}

/// An element type of tables and outputs: `Float`, `Half` or `BFloat16`.
///
/// The kernels know these three and no other.
public protocol TableElement: FileElement {
  /// How the elements are stored.
  static var elementType: ElementType { get }
}

extension Float: TableElement {
  /// `.float32`.
  public static var elementType: ElementType { .float32 }
}

extension Half: TableElement {
  /// `.float16`.
  public static var elementType: ElementType { .float16 }
}

extension BFloat16: TableElement {
  /// `.bfloat16`.
  public static var elementType: ElementType { .bfloat16 }
}
