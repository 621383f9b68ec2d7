// The forward pass on the caller's memory.
//
// B batch, T context, V vocabulary, D dim.

public import CEmbedKernel
internal import EmbedKernel

/// Documented in embedkernel.h.
@c @implementation
public func ek_embed(
  _ ids: UnsafeRawPointer?, _ idType: Int32, _ batch: Int64, _ context: Int64,
  _ tokens: UnsafeRawPointer?, _ tableType: Int32, _ vocabulary: Int64, _ dim: Int64,
  _ positions: UnsafeRawPointer?, _ maximum: Int64, _ output: UnsafeMutableRawPointer?,
  _ outputType: Int32, _ options: UnsafePointer<ek_embed_options>?
) -> Int32 {
  attempt {
    let shape = EmbeddingShape(
      vocabulary: Int(vocabulary), batch: Int(batch), context: Int(context), dim: Int(dim))
    let type = try elementType(tableType, "table_dtype")
    let written = try elementType(outputType, "output_dtype")
    let ids = try unsafe tokenIDs(ids, idType, product("ids", shape.batch, shape.context), "ids")
    let tokens = try unsafe elements(
      tokens, type, product("tokens", shape.vocabulary, shape.dim), "tokens")
    let output = try unsafe elements(
      UnsafeRawPointer(output), written,
      product("output", shape.batch, shape.context, shape.dim), "output")
    let rows = try unsafe positionRows(positions, type, maximum, shape.dim)
    guard let options = unsafe options else {
      return try kernels(0, 0).embed(
        ids, tokens, rows, shape, .sequential(), EmbedOptions(), output)
    }
    let given = try unsafe required(options, "options")
    let choices = try unsafe EmbedOptions(
      scale: given.scale, unknownIDs: unknownIDs(given.unknown_ids),
      positionOverflow: positionOverflow(given.position_overflow))
    try unsafe checkReserved(given.reserved)
    try unsafe kernels(given.backend, given.threads).embed(
      ids, tokens, rows, shape,
      positionIDs(given.place, batch: shape.batch, context: shape.context), choices, output)
  }
}

/// The position table, or nil where there is none.
@inline(__always)
func positionRows(
  _ positions: UnsafeRawPointer?, _ type: ElementType, _ maximum: Int64, _ dim: Int
) throws -> Elements? {
  guard let positions = unsafe positions else { return nil }
  guard maximum >= 0 else {
    throw EmbedError.invalidSize(
      argument: "maximum", value: Int(maximum), expected: "0 or more")
  }
  return try unsafe elements(
    positions, type, product("positions", Int(maximum), dim), "positions")
}

/// Fields for later versions hold nothing yet.
@inline(__always)
func checkReserved(_ value: Int32) throws {
  guard value == 0 else { throw CallError.option("reserved", value: Int(value), expected: "0") }
}
