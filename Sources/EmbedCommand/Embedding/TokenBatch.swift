// Ids `[batch, context]` of either width, and the layer's call on them.

internal import EmbedKernel

/// Token ids of a batch.
struct TokenBatch {
  /// The ids, as wide as their file has them.
  enum IDs {
    case narrow([Int32])
    case wide([Int64])
  }

  let ids: IDs
  let batch: Int
  let context: Int

  /// Reads a file of int32 or int64, shape `[batch, context]`.
  init(contentsOf path: String) throws {
    let header = try NumPyHeader(contentsOf: path)
    ids =
      switch header.elementType {
      case .int32: .narrow(try elements(path, header, rank: 2))
      case .int64: .wide(try elements(path, header, rank: 2))
      default: throw wrongType(path, header, expected: "int32 or int64")
      }
    guard header.shape.count == 2 else {
      throw NumPyError.rank(path: path, expected: 2, shape: header.shape)
    }
    batch = header.shape[0]
    context = header.shape[1]
  }

  init(_ ids: [Int32], batch: Int, context: Int) {
    self.ids = .narrow(ids)
    self.batch = batch
    self.context = context
  }

  /// The number of ids.
  var count: Int { batch * context }

  subscript(index: Int) -> Int {
    switch ids {
    case .narrow(let ids): Int(ids[index])
    case .wide(let ids): Int(ids[index])
    }
  }

  /// The layer's input embeddings of these ids.
  func embed(
    _ layer: InputEmbedding, at place: PositionIDs, into output: inout AlignedBuffer<Float>,
    using kernels: Kernels
  ) throws(EmbedError) {
    switch ids {
    case .narrow(let ids):
      try layer.forward(
        ids, batch: batch, context: context, at: place, into: &output, using: kernels)
    case .wide(let ids):
      try layer.forward(
        ids, batch: batch, context: context, at: place, into: &output, using: kernels)
    }
  }
}

/// The elements of a `.npy` file, read straight into the array.
private func elements<Element: NumPyElement & FixedWidthInteger>(
  _ path: String, _ header: NumPyHeader, rank: Int?
) throws -> [Element] {
  var array = try SystemMemory.array(0 as Element, count: header.count)
  var span = array.mutableSpan
  try NumPyFile.read(path, rank: rank, into: &span)
  return array
}

private func wrongType(_ path: String, _ header: NumPyHeader, expected: String) -> CommandError {
  .data("'\(path)': expected elements of type \(expected), found \(header.elementType)")
}

/// The integers of a `.npy` file whose shape is one of `shapes`, as 32-bit ones.
///
/// - Parameters:
///   - shapes: The shapes it may have; -1 stands for any size.
///   - bytesAllowed: Whether uint8 and bool will do as well.
func integers(
  _ path: String, shapes: [[Int]], bytesAllowed: Bool = false
) throws -> [Int32] {
  let header = try NumPyHeader(contentsOf: path)
  let fits = shapes.contains { shape in
    shape.count == header.shape.count
      && zip(shape, header.shape).allSatisfy { $0 == -1 || $0 == $1 }
  }
  guard fits else {
    let expected = shapes.map { "\($0)".replacing("-1", with: "any") }.joined(separator: " or ")
    throw CommandError.data("'\(path)': expected shape \(expected), found \(header.shape)")
  }
  switch header.elementType {
  case .int32:
    return try elements(path, header, rank: nil)
  case .int64:
    let wide: [Int64] = try elements(path, header, rank: nil)
    if let index = wide.firstIndex(where: { Int32(exactly: $0) == nil }) {
      throw CommandError.data(
        "'\(path)': element \(index) is \(wide[index]), which is outside the 32-bit integers")
    }
    return wide.map { Int32($0) }
  case .uint8 where bytesAllowed, .bool where bytesAllowed:
    let narrow: [UInt8] = try elements(path, header, rank: nil)
    return narrow.map { Int32($0) }
  default:
    throw wrongType(
      path, header, expected: bytesAllowed ? "bool, uint8, int32 or int64" : "int32 or int64")
  }
}
