// Positions from C: a copy of the caller's numbers, as calls of the engine take them.

internal import CEmbedKernel
internal import EmbedKernel

/// Where tokens stand; at their columns where nothing is said.
@inline(__always)
func positionIDs(
  _ address: UnsafePointer<ek_positions>?, batch: Int, context: Int, _ name: StaticString = "place"
) throws -> PositionIDs {
  guard let address = unsafe address else { return .sequential() }
  return try unsafe given(address, batch, context, name)
}

@inline(never)
private func given(
  _ address: UnsafePointer<ek_positions>, _ batch: Int, _ context: Int, _ name: StaticString
) throws -> PositionIDs {
  let positions = try unsafe required(address, name)
  let tokens = try product("\(name)", batch, context)
  let found = try unsafe count(positions.count, "positions.count")
  func check(_ expected: Int) throws {
    guard found == expected else {
      throw EmbedError.wrongElementCount(
        argument: "\(name)", expected: expected, shape: [expected], actual: found)
    }
  }
  switch Int(unsafe positions.kind) {
  case EK_POSITIONS_SEQUENTIAL:
    return unsafe .sequential(offset: Int(positions.offset))
  case EK_POSITIONS_OFFSETS:
    try check(max(batch, 0))
    return .offsets(try unsafe numbers(positions, found, perRow: 1, name))
  case EK_POSITIONS_EXPLICIT:
    if found != context { try check(tokens) }
    return .explicit(try unsafe numbers(positions, found, perRow: max(context, 1), name))
  case EK_POSITIONS_PACKED:
    return .packed(
      cumulativeLengths: try unsafe numbers(positions, found, perRow: max(found, 1), name))
  case EK_POSITIONS_MASK:
    try check(tokens)
    let dtype = unsafe Int(positions.dtype)
    guard dtype == EK_DTYPE_UINT8 || dtype == EK_DTYPE_BOOL else {
      throw CallError.option("\(name).dtype", value: dtype, expected: "UINT8 or BOOL of a mask")
    }
    try SystemMemory.check(found)
    let bytes = unsafe positions.data?.assumingMemoryBound(to: UInt8.self)
    return unsafe .mask(Array(try unsafe readable(bytes, found, name)))
  case let other:
    throw CallError.option("\(name).kind", value: other, expected: "one of EK_POSITIONS_...")
  }
}

/// Copies numbers of 32 or 64 bits.
private func numbers(
  _ positions: ek_positions, _ count: Int, perRow: Int, _ name: StaticString
) throws -> [Int32] {
  let ids = try unsafe tokenIDs(positions.data, positions.dtype, count, name)
  try SystemMemory.check(count * 4)
  var copied = [Int32](repeating: 0, count: count)
  for i in 0..<count {
    guard let number = Int32(exactly: ids[i]) else {
      throw EmbedError.positionOutOfRange(
        position: ids[i], batchRow: i / perRow, index: i % perRow, maximum: Int(Int32.max))
    }
    copied[i] = number
  }
  return copied
}
