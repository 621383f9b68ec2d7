// The forms that a forward pass has: token and position rows in float32, the same fused with segments,
// normalisation and dropout, or rows of two-byte elements.

internal import EmbedKernel

/// What computes the embeddings.
enum EmbedLayer {
  case plain(InputEmbedding)
  case fused(FusedCall)
  case bfloat16(HalfTables<BFloat16>)
  case float16(HalfTables<Half>)

  /// Elements of a vector.
  var dim: Int {
    switch self {
    case .plain(let layer): layer.tokens.dim
    case .fused(let call): call.layer.dim
    case .bfloat16(let tables): tables.tokens.dim
    case .float16(let tables): tables.tokens.dim
    }
  }

  /// Rows of the position table; nil where there is none.
  var positionRows: Int? {
    switch self {
    case .plain(let layer): layer.positions?.rows
    case .fused(let call): call.layer.embedding.positions?.rows
    case .bfloat16(let tables): tables.positions?.rows
    case .float16(let tables): tables.positions?.rows
    }
  }
}

/// Tables of two-byte elements of one type.
struct HalfTables<Element: HalfPrecision & NumPyElement> {
  let tokens: EmbeddingTable<Element>
  let positions: EmbeddingTable<Element>?
  let options: EmbedOptions

  fileprivate init(
    _ tokens: EmbeddingTable<Element>, _ positions: EmbeddingTable<Element>?,
    _ path: String, _ shared: LayerSettings
  ) throws(CommandError) {
    if let padding = shared.paddingID {
      guard padding < tokens.rows else {
        throw .data(
          "'\(path)': padding id is \(padding); expected an id of 0...\(tokens.rows - 1)")
      }
      tokens.withMutableSpan { span in
        for i in padding * tokens.dim..<(padding + 1) * tokens.dim {
          span[i] = Element(bitPattern: 0)
        }
      }
    }
    self.tokens = tokens
    self.positions = positions
    options = EmbedOptions(
      scale: shared.scale.factor(dim: tokens.dim), unknownIDs: shared.unknownIDs,
      positionOverflow: shared.overflow)
  }

  func embed<ID: TokenID, Output: TableElement>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ place: PositionIDs,
    into output: inout AlignedBuffer<Output>, _ kernels: Kernels
  ) throws(EmbedError) {
    let shape = EmbeddingShape(
      vocabulary: tokens.rows, batch: batch, context: context, dim: tokens.dim)
    let (tokens, positions) = (tokens, positions)
    var span = output.mutableSpan
    if let positions {
      try kernels.embed(
        ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape, at: place,
        options: options, into: &span)
    } else {
      try kernels.embed(
        ids: ids.span, tokens: tokens.span, positions: nil, shape: shape, at: place,
        options: options, into: &span)
    }
  }
}

extension HalfTables where Element == Half {
  /// The layer of two tables where both are of one type of two bytes and nothing needs floats; nil
  /// where they are to be widened.
  static func layer(
    _ tokens: TableFile, _ positions: TableFile?, _ path: String, _ arguments: Arguments,
    _ shared: LayerSettings
  ) throws(CommandError) -> EmbedLayer? {
    guard shared.scheme != .sinusoidal, !FusedOptions.isGiven(arguments) else { return nil }
    switch (tokens, positions) {
    case (.bfloat16(let rows), nil):
      return .bfloat16(try HalfTables<BFloat16>(rows, nil, path, shared))
    case (.bfloat16(let rows), .bfloat16(let places)):
      return .bfloat16(try HalfTables<BFloat16>(rows, places, path, shared))
    case (.float16(let rows), nil):
      return .float16(try HalfTables(rows, nil, path, shared))
    case (.float16(let rows), .float16(let places)):
      return .float16(try HalfTables(rows, places, path, shared))
    default: return nil
    }
  }
}

/// An element type that embeddings are computed in: each has calls of its own for layers of floats.
protocol EmbedOutput: TableElement, NumPyElement {
  /// The number as a Float.
  var float: Float { get }

  static func embed<ID: TokenID>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ layer: InputEmbedding, _ place: PositionIDs,
    into output: inout AlignedBuffer<Self>, _ kernels: Kernels
  ) throws(EmbedError)

  static func embed<ID: TokenID>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ call: FusedCall, _ place: PositionIDs,
    into output: inout AlignedBuffer<Self>, _ kernels: Kernels
  ) throws(EmbedError)
}

extension Float: EmbedOutput {
  var float: Float { self }

  static func embed<ID: TokenID>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ layer: InputEmbedding, _ place: PositionIDs,
    into output: inout AlignedBuffer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    try layer.forward(ids, batch: batch, context: context, at: place, into: &output, using: kernels)
  }

  static func embed<ID: TokenID>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ call: FusedCall, _ place: PositionIDs,
    into output: inout AlignedBuffer<Float>, _ kernels: Kernels
  ) throws(EmbedError) {
    try call.layer.forward(
      ids, segmentIDs: call.segments(like: ids), batch: batch, context: context, at: place,
      trainingStep: call.trainingStep, into: &output, using: kernels)
  }
}

extension BFloat16: EmbedOutput {}
extension Half: EmbedOutput {}

extension EmbedOutput where Self: HalfPrecision {
  static func embed<ID: TokenID>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ layer: InputEmbedding, _ place: PositionIDs,
    into output: inout AlignedBuffer<Self>, _ kernels: Kernels
  ) throws(EmbedError) {
    let shape = layer.shape(batch: batch, context: context)
    let (tokens, positions) = (layer.tokens.table, layer.positions)
    var span = output.mutableSpan
    if let positions {
      try kernels.embed(
        ids: ids.span, tokens: tokens.span, positions: positions.span, shape: shape, at: place,
        options: layer.options, into: &span)
    } else {
      try kernels.embed(
        ids: ids.span, tokens: tokens.span, positions: nil, shape: shape, at: place,
        options: layer.options, into: &span)
    }
  }

  /// The fused layer is one of floats: its output is rounded.
  static func embed<ID: TokenID>(
    _ ids: [ID], _ batch: Int, _ context: Int, _ call: FusedCall, _ place: PositionIDs,
    into output: inout AlignedBuffer<Self>, _ kernels: Kernels
  ) throws(EmbedError) {
    var floats = try AlignedBuffer<Float>(count: output.count)
    try Float.embed(ids, batch, context, call, place, into: &floats, kernels)
    var span = output.mutableSpan
    try kernels.convert(floats.span, into: &span)
  }
}
