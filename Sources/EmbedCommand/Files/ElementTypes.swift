// The element types of tables by the names that options and safetensors have for them, and floats to and
// from each.

internal import EmbedKernel

extension OptionKind where Value == ElementType {
  /// The element types by the names that NumPy has for them.
  static var elementType: Self {
    choice([("float32", .float32), ("bfloat16", .bfloat16), ("float16", .float16)])
  }
}

extension ElementType {
  var safetensorsType: SafetensorsType {
    switch self {
    case .float32: .float32
    case .float16: .float16
    case .bfloat16: .bfloat16
    }
  }
}

/// Floats of a type of 16 or 32 bits; exact.
func widen(
  _ bytes: RawSpan, _ type: SafetensorsType, into floats: inout MutableSpan<Float>
) throws {
  func widen<Element: TableElement>(
    _ type: Element.Type, _ floats: inout MutableSpan<Float>
  ) throws {
    try unsafe bytes.withUnsafeBytes { bytes in
      try Kernels.auto.convert(
        unsafe Span(_unsafeElements: bytes.bindMemory(to: Element.self)), into: &floats)
    }
  }
  switch type {
  case .float16: try widen(Half.self, &floats)
  case .bfloat16: try widen(BFloat16.self, &floats)
  default: try widen(Float.self, &floats)
  }
}

/// Floats in another type, each rounded to nearest even.
func round(
  _ floats: Span<Float>, to type: SafetensorsType, _ body: (RawSpan) throws -> Void
) throws {
  func round<Element: TableElement>(_ type: Element.Type) throws {
    var output = try AlignedBuffer<Element>(count: floats.count)
    var span = output.mutableSpan
    try Kernels.auto.convert(floats, into: &span)
    try body(unsafe span.span.bytes)
  }
  switch type {
  case .float16: try round(Half.self)
  case .bfloat16: try round(BFloat16.self)
  default: try body(unsafe floats.bytes)
  }
}
