// Input layers behind handles: tables shared with other handles, a normalisation, dropout, and their gradients.
//
// B batch, T context, D dim.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedModels

/// A layer, which any number of threads may run forward at once.
final class LayerObject: Handled {
  static let kind: UInt32 = 5

  let layer: FusedInputEmbedding<Float>
  init(_ layer: FusedInputEmbedding<Float>) { self.layer = layer }
}

/// A layer's gradients; one call at a time.
final class LayerGradientObject: Handled {
  static let kind: UInt32 = 6

  let layer: FusedInputEmbedding<Float>
  let lock = Guarded<Void>(())
  fileprivate var fused: FusedEmbeddingGradient
  fileprivate var tables: InputGradient

  init(_ layer: FusedInputEmbedding<Float>) throws {
    fused = try FusedEmbeddingGradient(for: layer)
    tables = try layer.makeTableGradient()
    self.layer = layer
  }
}

/// A table of a handle that there may be.
private func floats(
  _ handle: OpaquePointer?, _ name: StaticString
) throws -> EmbeddingTable<Float>? {
  let found: TableObject? = try unsafe optionalObject(handle, name)
  return try found?.floats(name)
}

private func dropout(_ options: ek_layer_options) throws -> Dropout? {
  unsafe options.dropout_rate == 0
    ? nil : try unsafe Dropout(rate: options.dropout_rate, seed: options.dropout_seed)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_create(
  _ options: UnsafePointer<ek_layer_options>?, _ layer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: layer, "layer")
    let given = try unsafe required(options, "options")
    try unsafe checkReserved(given.reserved)
    guard let tokens = try unsafe floats(given.tokens, "tokens") else {
      throw CallError.handle("tokens")
    }
    let kind: Normalization.Kind? = try unsafe choice(
      given.norm, nil, .layer, .rootMeanSquare, name: "norm")
    let (gamma, beta) = try unsafe (floats(given.gamma, "gamma"), floats(given.beta, "beta"))
    var normalization: Normalization?
    if let kind {
      let gain = try gamma ?? Normalization.rootMeanSquare(dim: tokens.dim).gamma
      normalization = try unsafe Normalization(
        kind, gamma: gain, beta: beta, epsilon: given.epsilon)
    } else if gamma != nil || beta != nil {
      throw EmbedError.unsupported(
        argument: "gamma and beta", value: "without a normalisation", expected: "NULL, or a norm")
    }
    let embedding = try unsafe InputEmbedding(
      tokens: TokenEmbedding(
        table: tokens, paddingID: optionalID(given.padding_id, "padding_id")),
      positions: floats(given.positions, "positions"),
      positionsAreTrained: given.positions_fixed == 0, scale: .value(given.scale),
      unknownIDs: unknownIDs(given.unknown_ids),
      positionOverflow: positionOverflow(given.position_overflow))
    let made = try unsafe FusedInputEmbedding(
      embedding, segments: floats(given.segments, "segments"), normalization: normalization,
      dropout: dropout(given))
    embedding.tokens.clearPaddingRow()
    unsafe place.pointee = try makeHandle(LayerObject(made))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_load(
  _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<ek_layer_options>?,
  _ layer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: layer, "layer")
    let path = try unsafe text(path, "path")
    guard let options = unsafe options else {
      unsafe place.pointee = try makeHandle(
        LayerObject(FusedInputEmbedding(contentsOf: path, epsilon: 1e-5)))
      return
    }
    let given = try unsafe required(options, "options")
    try unsafe checkReserved(given.reserved)
    let tables = unsafe (
      given.tokens, given.positions, given.segments, given.gamma, given.beta
    )
    guard unsafe tables == (nil, nil, nil, nil, nil) else {
      throw EmbedError.unsupported(
        argument: "tables", value: "given", expected: "NULL, as the file has them")
    }
    guard unsafe given.norm == EK_NORM_NONE || given.norm == EK_NORM_LAYER else {
      throw EmbedError.unsupported(
        argument: "norm", value: unsafe "\(given.norm)", expected: "NONE or LAYER for a file")
    }
    let found = try unsafe FusedInputEmbedding(
      contentsOf: path, epsilon: given.epsilon, scale: .value(given.scale),
      paddingID: optionalID(given.padding_id, "padding_id"), dropout: dropout(given))
    let embedding = found.embedding
    let composed = try unsafe InputEmbedding(
      tokens: embedding.tokens, positions: embedding.positions,
      positionsAreTrained: given.positions_fixed == 0, scale: .value(given.scale),
      unknownIDs: unknownIDs(given.unknown_ids),
      positionOverflow: positionOverflow(given.position_overflow))
    let made = try FusedInputEmbedding(
      composed, segments: found.segments, normalization: found.normalization,
      dropout: found.dropout)
    unsafe place.pointee = try makeHandle(LayerObject(made))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_save(_ layer: OpaquePointer?, _ path: UnsafePointer<CChar>?) -> Int32 {
  attempt {
    let found: LayerObject = try unsafe object(layer, "layer")
    try found.layer.save(to: unsafe text(path, "path"))
  }
}

extension FusedInputEmbedding<Float> {
  /// The table of a part, or nil where there is none.
  fileprivate func table(_ part: Int32) throws -> EmbeddingTable<Float>? {
    switch Int(part) {
    case EK_PART_TOKENS: return embedding.tokens.table
    case EK_PART_POSITIONS: return embedding.positions
    case EK_PART_SEGMENTS: return segments
    case EK_PART_GAMMA: return normalization?.gamma
    case EK_PART_BETA: return normalization?.beta
    default: throw CallError.option("part", value: Int(part), expected: "one of EK_PART_...")
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_table(
  _ layer: OpaquePointer?, _ part: Int32, _ table: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let found: LayerObject = try unsafe object(layer, "layer")
    let place = try unsafe place(of: table, "table")
    let part = try found.layer.table(part)
    unsafe place.pointee = try part.map { try unsafe makeHandle(TableObject(.float($0))) }
  }
}

/// What a call of a layer says beside its ids.
private struct LayerCall {
  var shape: EmbeddingShape
  var ids: TokenIDs
  var segmentIDs: TokenIDs?
  var place = PositionIDs.sequential()
  var step: UInt64?
  var kernels: Kernels
}

private func layerCall(
  _ layer: FusedInputEmbedding<Float>, _ ids: UnsafeRawPointer?, _ idType: Int32, _ batch: Int64,
  _ context: Int64, _ call: UnsafePointer<ek_layer_call>?
) throws -> LayerCall {
  let shape = layer.shape(batch: Int(batch), context: Int(context))
  let list = try unsafe tokenIDs(ids, idType, product("ids", shape.batch, shape.context), "ids")
  var made = LayerCall(shape: shape, ids: list, kernels: try kernels(0, 0))
  guard let call = unsafe call else { return made }
  let given = try unsafe required(call, "call")
  made.kernels = try unsafe kernels(given.backend, given.threads)
  made.place = try unsafe positionIDs(given.place, batch: shape.batch, context: shape.context)
  made.step = unsafe UInt64(exactly: given.training_step)
  if unsafe given.segment_ids != nil {
    made.segmentIDs = try unsafe tokenIDs(given.segment_ids, idType, list.count, "segment_ids")
  }
  return made
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_forward(
  _ layer: OpaquePointer?, _ ids: UnsafeRawPointer?, _ idType: Int32, _ batch: Int64,
  _ context: Int64, _ output: UnsafeMutablePointer<Float>?, _ call: UnsafePointer<ek_layer_call>?
) -> Int32 {
  attempt {
    let found: LayerObject = try unsafe object(layer, "layer")
    let call = try unsafe layerCall(found.layer, ids, idType, batch, context, call)
    let shape = call.shape
    let output = try unsafe elements(
      output, .float32, product("output", shape.batch, shape.context, shape.dim), "output")
    try found.layer.forward(
      call.ids, call.segmentIDs, shape, call.place, call.step, output, call.kernels)
  }
}

// MARK: Gradients

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_gradient_create(
  _ layer: OpaquePointer?, _ gradient: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let found: LayerObject = try unsafe object(layer, "layer")
    let place = try unsafe place(of: gradient, "gradient")
    unsafe place.pointee = try makeHandle(LayerGradientObject(found.layer))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_backward(
  _ layer: OpaquePointer?, _ gradient: OpaquePointer?, _ outputGradient: UnsafePointer<Float>?,
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ batch: Int64, _ context: Int64,
  _ call: UnsafePointer<ek_layer_call>?
) -> Int32 {
  attempt {
    let found: LayerObject = try unsafe object(layer, "layer")
    let target: LayerGradientObject = try unsafe object(gradient, "gradient")
    let call = try unsafe layerCall(found.layer, ids, idType, batch, context, call)
    let shape = call.shape
    let output = try unsafe readable(
      outputGradient, product("output gradient", shape.batch, shape.context, shape.dim),
      "output_gradient")
    try target.lock.withLock { _ in
      try unsafe found.layer.backward(
        output, call.ids, call.segmentIDs, shape, call.place, call.step, &target.fused,
        &target.tables, .none, .chunked, call.kernels)
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_gradient_get(
  _ gradient: OpaquePointer?, _ part: Int32, _ count: UnsafeMutablePointer<Int64>?,
  _ dim: UnsafeMutablePointer<Int64>?, _ rows: UnsafeMutablePointer<UnsafePointer<Int32>?>?,
  _ values: UnsafeMutablePointer<UnsafePointer<Float>?>?
) -> Int32 {
  attempt {
    let found: LayerGradientObject = try unsafe object(gradient, "gradient")
    _ = try found.layer.table(part)
    try found.lock.withLock { _ in
      let listed = unsafe found.listed(part)
      if unsafe count != nil { try unsafe place(of: count, "count").pointee = Int64(listed.count) }
      if unsafe dim != nil { try unsafe place(of: dim, "dim").pointee = Int64(found.layer.dim) }
      if unsafe rows != nil { try unsafe place(of: rows, "rows").pointee = listed.rows }
      if unsafe values != nil { try unsafe place(of: values, "values").pointee = listed.values }
    }
  }
}

extension LayerGradientObject {
  /// The rows of a part's gradient that are there, and their numbers where not all are.
  fileprivate func listed(
    _ part: Int32
  ) -> (count: Int, rows: UnsafePointer<Int32>?, values: UnsafePointer<Float>?) {
    let dim = layer.dim
    switch Int(part) {
    case EK_PART_TOKENS:
      return unsafe (
        tables.tokens.count, UnsafePointer(tables.tokens.rowIDMemory),
        UnsafePointer(tables.tokens.valueMemory)
      )
    case EK_PART_POSITIONS:
      return unsafe (
        tables.positions.count, UnsafePointer(tables.positions.rowIDMemory),
        UnsafePointer(tables.positions.valueMemory)
      )
    default:
      let (count, values) = unsafe parameters(of: fused, part)
      return unsafe (count / dim, nil, values)
    }
  }
}

/// The gradient of parameters of which all rows are there. The memory stays until it is used again.
private func parameters(
  of gradient: borrowing FusedEmbeddingGradient, _ part: Int32
) -> (count: Int, values: UnsafePointer<Float>?) {
  let values =
    switch Int(part) {
    case EK_PART_SEGMENTS: gradient.segments
    case EK_PART_GAMMA: gradient.gamma
    default: gradient.beta
    }
  return unsafe (values.count, values.withUnsafeBufferPointer { $0.baseAddress })
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_gradient_clear(_ gradient: OpaquePointer?) -> Int32 {
  attempt {
    let found: LayerGradientObject = try unsafe object(gradient, "gradient")
    found.lock.withLock { _ in
      found.fused.removeAll()
      found.tables.tokens.removeAll()
      found.tables.positions.removeAll()
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_gradient_destroy(_ gradient: OpaquePointer?) {
  unsafe destroy(gradient, LayerGradientObject.self)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_layer_destroy(_ layer: OpaquePointer?) { unsafe destroy(layer, LayerObject.self) }
