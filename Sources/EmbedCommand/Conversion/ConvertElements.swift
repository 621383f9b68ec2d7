// A tensor's bytes in the type and with the rows that the output has.

internal import EmbedKernel
internal import EmbedResizing

/// Gives `body` the bytes of the output's tensor, made from those of the source's.
func converted(
  _ bytes: RawSpan, _ source: SourceTensor, _ target: TargetTensor, _ body: (RawSpan) throws -> Void
) throws {
  if let resize = target.resize {
    let table = try EmbeddingTable<Float>(rows: source.shape[0], dim: source.shape[1])
    try table.withMutableSpan { span in try widen(bytes, source.type, into: &span) }
    let resized: EmbeddingTable<Float> =
      switch resize {
      case .vocabulary(let newRows, let seed):
        try TokenEmbedding(table: table)
          .resized(vocabulary: target.shape[0], newRows: newRows, seed: seed).table
      case .positions(let interpolation):
        try table.interpolated(rows: target.shape[0], by: interpolation)
      }
    return try round(resized.span, to: target.type, body)
  }
  guard source.type != target.type else { return try body(bytes) }
  guard source.type != .float64 else { return try round(doubles: bytes, to: target.type, body) }
  var floats = try AlignedBuffer<Float>(count: source.count)
  var span = floats.mutableSpan
  try widen(bytes, source.type, into: &span)
  try round(span.span, to: target.type, body)
}

/// Floats of a type of 16 or 32 bits; exact.
private func widen(
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
private func round(
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

/// Numbers of 64 bits in another type, each rounded once, to nearest even.
private func round(
  doubles bytes: RawSpan, to type: SafetensorsType, _ body: (RawSpan) throws -> Void
) throws {
  let isNarrow = type != .float32
  var floats = try AlignedBuffer<Float>(count: bytes.byteCount / 8)
  unsafe bytes.withUnsafeBytes { bytes in
    for i in 0..<floats.count {
      let value = unsafe bytes.loadUnaligned(fromByteOffset: 8 * i, as: Double.self)
      // What is rounded again must keep on which side of a tie it was.
      floats[i] = isNarrow ? roundedToOdd(value) : Float(value)
    }
  }
  try round(floats.span, to: type, body)
}

/// `value` cut to a Float, its last bit set where that lost something: rounding this to half as many bits
/// gives what rounding `value` itself would.
package func roundedToOdd(_ value: Double) -> Float {
  let nearest = Float(value)
  guard Double(nearest) != value, !value.isNaN else { return nearest }
  let isTooLarge = Double(nearest).magnitude > value.magnitude
  let bits = isTooLarge ? nearest.bitPattern - 1 : nearest.bitPattern
  return Float(bitPattern: bits | 1)
}
