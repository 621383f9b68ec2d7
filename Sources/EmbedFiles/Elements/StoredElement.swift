// Elements of a type to and from floats in memory, one at a time: for passes that go row by row.

/// An element type that Swift code can load and store.
package protocol StoredElement: TableElement {
  /// The element at `address`, which need not be aligned.
  static func load(_ address: UnsafeRawPointer) -> Float
  /// Writes an element, rounded.
  static func store(_ value: Float, _ address: UnsafeMutableRawPointer)
}

extension Float: StoredElement {
  @inlinable @inline(__always)
  package static func load(_ address: UnsafeRawPointer) -> Float {
    unsafe address.loadUnaligned(as: Float.self)
  }

  @inlinable @inline(__always)
  package static func store(_ value: Float, _ address: UnsafeMutableRawPointer) {
    unsafe address.storeBytes(of: value, as: Float.self)
  }
}

extension StoredElement where Self: SixteenBitElement {
  @inlinable @inline(__always)
  package static func load(_ address: UnsafeRawPointer) -> Float {
    Self(bitPattern: unsafe address.loadUnaligned(as: UInt16.self)).float
  }

  @inlinable @inline(__always)
  package static func store(_ value: Float, _ address: UnsafeMutableRawPointer) {
    unsafe address.storeBytes(of: Self(value).bitPattern, as: UInt16.self)
  }
}

extension BFloat16: StoredElement {}
extension Half: StoredElement {}

/// Code that is compiled for each pair of element types.
package protocol ElementBody {
  func run<Input: StoredElement, Output: StoredElement>(_ input: Input.Type, _ output: Output.Type)
}

extension ElementBody {
  /// Runs the code of two types known at run time.
  @inline(__always)
  package func run(_ input: ElementType, _ output: ElementType) {
    switch (input, output) {
    case (.float32, .float32): run(Float.self, Float.self)
    case (.float32, .float16): run(Float.self, Half.self)
    case (.float32, .bfloat16): run(Float.self, BFloat16.self)
    case (.float16, .float32): run(Half.self, Float.self)
    case (.float16, .float16): run(Half.self, Half.self)
    case (.float16, .bfloat16): run(Half.self, BFloat16.self)
    case (.bfloat16, .float32): run(BFloat16.self, Float.self)
    case (.bfloat16, .float16): run(BFloat16.self, Half.self)
    case (.bfloat16, .bfloat16): run(BFloat16.self, BFloat16.self)
    }
  }
}
