// A tensor's bytes in the type and with the rows that the output has.

internal import EmbedKernel
internal import EmbedResizing

/// Gives `body` the bytes of the output's tensor, made from those of the source's.
func converted(
  _ bytes: RawSpan, _ source: Tensor, _ target: TargetTensor, _ body: (RawSpan) throws -> Void
) throws {
  let type = target.tensor.type
  if let resize = target.resize {
    let table = try EmbeddingTable<Float>(rows: source.shape[0], dim: source.shape[1])
    try table.withMutableSpan { span in try widen(bytes, source.type, into: &span) }
    let resized: EmbeddingTable<Float> =
      switch resize {
      case .vocabulary(let newRows, let seed):
        try TokenEmbedding(table: table)
          .resized(vocabulary: target.tensor.shape[0], newRows: newRows, seed: seed).table
      case .positions(let interpolation):
        try table.interpolated(rows: target.tensor.shape[0], by: interpolation)
      }
    return try round(resized.span, to: type, body)
  }
  guard source.type != type else { return try body(bytes) }
  guard source.type != .float64 else { return try round(doubles: bytes, to: type, body) }
  var floats = try AlignedBuffer<Float>(count: source.count)
  var span = floats.mutableSpan
  try widen(bytes, source.type, into: &span)
  try round(span.span, to: type, body)
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
