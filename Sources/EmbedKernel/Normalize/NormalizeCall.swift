// One call of the fused layer, checked: a forward pass with segments, normalisation and dropout.
//
// B batch, T context, N = B*T tokens, D dim, S segments.

/// What rows are divided by.
package enum NormKind: Sendable {
  case none
  case layer
  case rootMeanSquare
}

/// A normalisation's parameters as pointers.
@safe package struct NormParameters {
  let kind: NormKind
  /// Shape `[dim]`; nil without normalisation.
  let gamma: UnsafePointer<Float>?
  /// Shape `[dim]`; nil adds none.
  let beta: UnsafePointer<Float>?
  let epsilon: Float
}

/// Which elements one call drops: element i of row n has a Philox word, and is dropped where that
/// is below the threshold. `draw` in the C kernels says which word.
package struct DropoutMask: Sendable {
  let key: UInt64
  let stream: UInt64
  /// 2^32 times the dropped share; 0 drops none.
  let threshold: UInt32
  /// Multiplies what is kept.
  let scale: Float

  static let none = DropoutMask(key: 0, stream: 0, threshold: 0, scale: 1)
}

/// A checked call of the fused layer.
@safe package struct NormalizeCall {
  /// The sum of token and position rows, and the output.
  var rows: EmbedCall
  /// Shape `[segments, dim]`, of the type of `rows.input`; nil adds none.
  let segments: UnsafeRawPointer?
  let segmentCount: Int
  /// Nil where all tokens are of segment 0.
  let segmentIDs: TokenIDs?
  let norm: NormParameters
  let dropout: DropoutMask

  var dim: Int { rows.dim }

  /// Checks the segments against the rows, and the output against the parameters' memory.
  init(
    rows: EmbedCall, segments: Elements?, segmentIDs: TokenIDs?,
    norm: NormParameters, dropout: DropoutMask
  ) throws(EmbedError) {
    let (shape, dim) = (rows.shape, rows.dim)
    segmentCount = (segments?.count ?? 0) / dim
    if let ids = segmentIDs {
      guard segments != nil else {
        throw .wrongElementCount(
          argument: "segment ids of a layer without segments", expected: 0,
          shape: [0], actual: ids.count)
      }
      try EmbedCall.check(
        "segment ids", ids.count, rows.tokenCount, [shape.batch, shape.context])
      guard ids.isWide == rows.ids.isWide || ids.count == 0 else {
        throw .invalidSize(
          argument: "width of the segment ids", value: ids.isWide ? 8 : 4,
          expected: "that of the token ids")
      }
      if !ids.areAll(below: segmentCount),
        case .tokenOutOfRange(let id, let batchRow, let position, let segments)? =
          ids.firstOutside(segmentCount, context: shape.context)
      {
        throw .segmentOutOfRange(
          id: id, batchRow: batchRow, position: position, segments: segments)
      }
    }
    let written = unsafe Memory(rows.output, rows.outputBytes)
    if let segments, written.overlaps(segments.memory) {
      throw .overlappingMemory(argument: "segments")
    }
    if let ids = segmentIDs, written.overlaps(unsafe Memory(ids.base, ids.bytes)) {
      throw .overlappingMemory(argument: "segment ids")
    }
    if let gamma = unsafe norm.gamma, written.overlaps(unsafe Memory(gamma, dim * 4)) {
      throw .overlappingMemory(argument: "gamma")
    }
    if let beta = unsafe norm.beta, written.overlaps(unsafe Memory(beta, dim * 4)) {
      throw .overlappingMemory(argument: "beta")
    }
    self.rows = rows
    unsafe self.segments = segments?.base
    self.segmentIDs = segmentIDs
    self.norm = norm
    self.dropout = dropout
  }

  /// The segment of token `token`.
  @inline(__always)
  func segment(_ token: Int) -> Int { segmentIDs?[token] ?? 0 }

  /// Whether an output row is just its sum, so that nothing is left to do once it is gathered.
  var isPlainSum: Bool { norm.kind == .none && dropout.threshold == 0 }
}
