// Rows summed, normalised and dropped from in one pass, on the caller's memory: a layer is composed of his
// tables for the length of a call.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim, S segments.

public import CEmbedKernel
internal import EmbedKernel

/// What a call of the fused layer is made of.
private struct FusedCall<Element: TableElement> {
  let layer: FusedInputEmbedding<Element>
  let ids: TokenIDs
  let segmentIDs: TokenIDs?
  let shape: EmbeddingShape
  let place: PositionIDs
  let step: UInt64?
  let kernels: Kernels
}

/// A table in the caller's memory, which is read alone.
private func table<Element: TableElement>(
  _ address: UnsafeRawPointer?, rows: Int, dim: Int, _ owner: BorrowedMemory, _ name: StaticString
) throws -> EmbeddingTable<Element> {
  let memory = try unsafe readable(
    address?.assumingMemoryBound(to: Element.self), product("\(name)", rows, dim), name)
  return try unsafe EmbeddingTable(
    rows: rows, dim: dim, borrowing: UnsafeMutableBufferPointer(mutating: memory), of: owner)
}

/// The normalisation of a number of C's; nil for none. A gain that is not given is 1.
private func normalization(
  _ norm: Int32, _ gamma: UnsafePointer<Float>?, _ beta: UnsafePointer<Float>?, _ epsilon: Float,
  dim: Int, _ owner: BorrowedMemory
) throws -> Normalization? {
  let kind: Normalization.Kind? = try choice(norm, nil, .layer, .rootMeanSquare, name: "norm")
  guard let kind else {
    guard unsafe gamma == nil, unsafe beta == nil else {
      throw EmbedError.unsupported(
        argument: "gamma and beta", value: "without a normalisation", expected: "NULL, or a norm")
    }
    return nil
  }
  let gain: EmbeddingTable<Float>
  if unsafe gamma != nil {
    gain = try unsafe table(gamma, rows: 1, dim: dim, owner, "gamma")
  } else {
    gain = try EmbeddingTable(rows: 1, dim: dim)
    unsafe gain.unsafeBuffer.update(repeating: 1)
  }
  let offset: EmbeddingTable<Float>? =
    unsafe beta == nil ? nil : try unsafe table(beta, rows: 1, dim: dim, owner, "beta")
  return try Normalization(kind, gamma: gain, beta: offset, epsilon: epsilon)
}

/// The types of the tables and of the output.
private func types(
  _ options: UnsafePointer<ek_fused_options>?
) throws -> (tables: any TableElement.Type, output: ElementType) {
  guard let options = unsafe options else { return (Float.self, .float32) }
  let given = try unsafe required(options, "options")
  let output = try unsafe elementType(given.output_dtype, "output_dtype")
  return try unsafe (elementType(given.table_dtype, "table_dtype").tableElement, output)
}

private func call<Element>(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ shape: EmbeddingShape,
  _ tokens: UnsafeRawPointer?, _ positions: UnsafeRawPointer?, _ maximum: Int64,
  _ options: UnsafePointer<ek_fused_options>?
) throws -> FusedCall<Element> {
  let owner = BorrowedMemory()
  let list = try unsafe tokenIDs(ids, idType, product("ids", shape.batch, shape.context), "ids")
  let rows: EmbeddingTable<Element> = try unsafe table(
    tokens, rows: shape.vocabulary, dim: shape.dim, owner, "tokens")
  let places: EmbeddingTable<Element>? =
    unsafe positions == nil
    ? nil
    : try unsafe table(positions, rows: Int(maximum), dim: shape.dim, owner, "positions")
  guard let options = unsafe options else {
    return FusedCall(
      layer: try FusedInputEmbedding(tokens: rows, positions: places), ids: list, segmentIDs: nil,
      shape: shape, place: .sequential(), step: nil, kernels: try kernels(0, 0))
  }
  let given = try unsafe required(options, "options")
  let choices = try unsafe EmbedOptions(
    scale: given.scale, unknownIDs: unknownIDs(given.unknown_ids),
    positionOverflow: positionOverflow(given.position_overflow))
  let segments: EmbeddingTable<Element>? =
    unsafe given.segments == nil
    ? nil
    : try unsafe table(
      given.segments, rows: Int(given.segment_count), dim: shape.dim, owner, "segments")
  let segmentIDs =
    unsafe given.segment_ids == nil
    ? nil : try unsafe tokenIDs(given.segment_ids, idType, list.count, "segment_ids")
  let norm = try unsafe normalization(
    given.norm, given.gamma, given.beta, given.epsilon, dim: shape.dim, owner)
  let rate = unsafe given.dropout_rate
  let dropout = rate == 0 ? nil : try unsafe Dropout(rate: rate, seed: given.dropout_seed)
  return FusedCall(
    layer: try FusedInputEmbedding(
      tokens: rows, positions: places, segments: segments, normalization: norm, dropout: dropout,
      options: choices),
    ids: list, segmentIDs: segmentIDs, shape: shape,
    place: try unsafe positionIDs(given.place, batch: shape.batch, context: shape.context),
    step: rate == 0 ? nil : unsafe given.dropout_step,
    kernels: try unsafe kernels(given.backend, given.threads))
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_embed_fused(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ batch: Int64, _ context: Int64,
  _ tokens: UnsafeRawPointer?, _ vocabulary: Int64, _ dim: Int64,
  _ positions: UnsafeRawPointer?, _ maximum: Int64, _ output: UnsafeMutableRawPointer?,
  _ options: UnsafePointer<ek_fused_options>?
) -> Int32 {
  attempt {
    let shape = EmbeddingShape(
      vocabulary: Int(vocabulary), batch: Int(batch), context: Int(context), dim: Int(dim))
    let types = try unsafe types(options)
    let output = try unsafe elements(
      output, types.output, product("output", shape.batch, shape.context, shape.dim), "output")
    func forward<Element: TableElement>(_ type: Element.Type) throws {
      let call: FusedCall<Element> = try unsafe call(
        ids, idType, shape, tokens, positions, maximum, options)
      try call.layer.forward(
        call.ids, call.segmentIDs, shape, call.place, call.step, output, call.kernels)
    }
    try forward(types.tables)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_embed_fused_backward(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ batch: Int64, _ context: Int64, _ tokens: UnsafeRawPointer?, _ vocabulary: Int64,
  _ dim: Int64, _ positions: UnsafeRawPointer?, _ maximum: Int64,
  _ rowGradient: UnsafeMutablePointer<Float>?, _ gammaGradient: UnsafeMutablePointer<Float>?,
  _ betaGradient: UnsafeMutablePointer<Float>?, _ segmentGradient: UnsafeMutablePointer<Float>?,
  _ options: UnsafePointer<ek_fused_options>?
) -> Int32 {
  attempt {
    let shape = EmbeddingShape(
      vocabulary: Int(vocabulary), batch: Int(batch), context: Int(context), dim: Int(dim))
    let parts = unsafe Parts(
      gamma: gammaGradient, beta: betaGradient, segments: segmentGradient)
    func run<Element: TableElement>(_ type: Element.Type) throws {
      let call: FusedCall<Element> = try unsafe call(
        ids, idType, shape, tokens, positions, maximum, options)
      try unsafe backward(call, outputGradient, rowGradient, parts)
    }
    try unsafe run(types(options).tables)
  }
}

/// Where the parameters' gradients go; nil where nobody asks for one.
@safe private struct Parts {
  let gamma: UnsafeMutablePointer<Float>?
  let beta: UnsafeMutablePointer<Float>?
  let segments: UnsafeMutablePointer<Float>?
}

private func backward<Element>(
  _ call: FusedCall<Element>, _ outputGradient: UnsafePointer<Float>?,
  _ rowGradient: UnsafeMutablePointer<Float>?, _ parts: Parts
) throws {
  let (shape, layer) = (call.shape, call.layer)
  let count = try product("output gradient", shape.batch, shape.context, shape.dim)
  let gradient = try unsafe readable(outputGradient, count, "output_gradient")
  let rows = try unsafe writable(rowGradient, count, "row_gradient")
  func part(
    _ memory: UnsafeMutablePointer<Float>?, rows: Int?, _ name: StaticString
  ) throws -> UnsafeMutableBufferPointer<Float> {
    guard unsafe memory != nil else {
      return unsafe UnsafeMutableBufferPointer(start: nil, count: 0)
    }
    guard let rows else {
      throw EmbedError.unsupported(
        argument: "\(name)", value: "of a part that the call lacks", expected: "NULL")
    }
    let part = try unsafe writable(memory, rows * shape.dim, name)
    let written = unsafe Stretch(UnsafeRawPointer(memory), part.count * 4)
    for other in unsafe [
      Stretch(UnsafeRawPointer(rowGradient), count * 4),
      Stretch(UnsafeRawPointer(outputGradient), count * 4),
      Stretch(call.ids.base, call.ids.bytes),
    ] where written.overlaps(other) {
      throw EmbedError.overlappingMemory(argument: "\(name)")
    }
    return unsafe part
  }
  if unsafe Stretch(UnsafeRawPointer(rowGradient), count * 4)
    .overlaps(Stretch(UnsafeRawPointer(outputGradient), count * 4))
  {
    throw EmbedError.overlappingMemory(argument: "output gradient")
  }
  var result = try unsafe FusedEmbeddingGradient(
    for: layer, rows: rows,
    gamma: part(parts.gamma, rows: layer.normalization == nil ? nil : 1, "gamma_gradient"),
    beta: part(parts.beta, rows: layer.normalization?.beta == nil ? nil : 1, "beta_gradient"),
    segments: part(parts.segments, rows: layer.segments?.rows, "segment_gradient"),
    of: BorrowedMemory())
  try unsafe layer.backward(
    gradient, call.ids, call.segmentIDs, shape, call.place, call.step, &result, call.kernels)
}

// MARK: Rows as they are

/// Normalisation of rows that are there already: rows of a table, each read once in order.
private func rowCall(
  _ input: UnsafePointer<Float>?, _ rows: Int64, _ dim: Int64, _ norm: Int32,
  _ gamma: UnsafePointer<Float>?, _ beta: UnsafePointer<Float>?, _ epsilon: Float,
  _ threads: Int32, _ ids: borrowing AlignedBuffer<Int32>
) throws -> FusedCall<Float> {
  guard Int(norm) == EK_NORM_LAYER || Int(norm) == EK_NORM_RMS else {
    throw CallError.option("norm", value: Int(norm), expected: "EK_NORM_LAYER or EK_NORM_RMS")
  }
  let owner = BorrowedMemory()
  let (rows, dim) = (Int(rows), Int(dim))
  let table: EmbeddingTable<Float> = try unsafe table(
    input, rows: rows, dim: dim, owner, "input")
  let norm = try unsafe normalization(norm, gamma, beta, epsilon, dim: dim, owner)
  let layer = try FusedInputEmbedding(tokens: table, positions: nil, normalization: norm)
  return unsafe FusedCall(
    layer: layer, ids: TokenIDs(UnsafeBufferPointer(ids.unsafeBuffer)), segmentIDs: nil,
    shape: EmbeddingShape(vocabulary: rows, batch: 1, context: rows, dim: dim),
    place: .sequential(), step: nil, kernels: try kernels(0, threads))
}

/// 0, 1, ... for so many rows.
private func numbers(_ rows: Int64) throws -> AlignedBuffer<Int32> {
  guard rows >= 0, rows < Int64(Int32.max) else {
    throw EmbedError.invalidSize(
      argument: "rows", value: Int(rows), expected: "0..<\(Int32.max)")
  }
  let buffer = try AlignedBuffer<Int32>(count: Int(rows))
  for i in 0..<Int(rows) { unsafe buffer.unsafeBuffer[i] = Int32(i) }
  return buffer
}

/// Checks the sizes of no rows at all, of which there is nothing to compute.
private func isEmpty(_ rows: Int64, _ dim: Int64) throws -> Bool {
  guard dim > 0 else {
    throw EmbedError.invalidSize(argument: "dim", value: Int(dim), expected: "1 or more")
  }
  return rows == 0
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_normalize(
  _ input: UnsafePointer<Float>?, _ rows: Int64, _ dim: Int64, _ norm: Int32,
  _ gamma: UnsafePointer<Float>?, _ beta: UnsafePointer<Float>?, _ epsilon: Float,
  _ output: UnsafeMutablePointer<Float>?, _ threads: Int32
) -> Int32 {
  attempt {
    if try isEmpty(rows, dim) { return }
    let ids = try numbers(rows)
    let call = try unsafe rowCall(input, rows, dim, norm, gamma, beta, epsilon, threads, ids)
    let output = try unsafe elements(
      output, .float32, product("output", Int(rows), Int(dim)), "output")
    try call.layer.forward(
      call.ids, nil, call.shape, call.place, nil, output, call.kernels)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_normalize_backward(
  _ outputGradient: UnsafePointer<Float>?, _ input: UnsafePointer<Float>?, _ rows: Int64,
  _ dim: Int64, _ norm: Int32, _ gamma: UnsafePointer<Float>?, _ beta: UnsafePointer<Float>?,
  _ epsilon: Float, _ inputGradient: UnsafeMutablePointer<Float>?,
  _ gammaGradient: UnsafeMutablePointer<Float>?, _ betaGradient: UnsafeMutablePointer<Float>?,
  _ threads: Int32
) -> Int32 {
  attempt {
    if try isEmpty(rows, dim) { return }
    let ids = try numbers(rows)
    let call = try unsafe rowCall(input, rows, dim, norm, gamma, beta, epsilon, threads, ids)
    try unsafe backward(
      call, outputGradient, inputGradient,
      Parts(gamma: gammaGradient, beta: betaGradient, segments: nil))
  }
}
