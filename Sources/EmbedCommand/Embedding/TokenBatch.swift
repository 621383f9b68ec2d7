// Ids `[batch, context]` of either width.

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

  /// Reads a file of integers, shape `[batch, context]`.
  init(contentsOf path: String) throws {
    let file = try ArrayFile(path)
    ids = try file.integers()
    try file.require(rank: 2)
    batch = file.shape[0]
    context = file.shape[1]
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
}

/// The integers of a file whose shape is one of `shapes`, as 32-bit ones.
///
/// - Parameters:
///   - shapes: The shapes it may have; -1 stands for any size.
///   - truthAllowed: Whether truth values will do as well.
func integers(
  _ path: String, shapes: [[Int]], truthAllowed: Bool = false
) throws -> [Int32] {
  let file = try ArrayFile(path)
  let fits = shapes.contains { shape in
    shape.count == file.shape.count
      && zip(shape, file.shape).allSatisfy { $0 == -1 || $0 == $1 }
  }
  guard fits else {
    let expected = shapes.map { "\($0)".replacing("-1", with: "any") }.joined(separator: " or ")
    throw CommandError.data("'\(path)': expected shape \(expected), found \(file.shape)")
  }
  switch try file.integers(truthAllowed: truthAllowed) {
  case .narrow(let values): return values
  case .wide(let values):
    if let index = values.firstIndex(where: { Int32(exactly: $0) == nil }) {
      throw CommandError.data(
        "'\(path)': element \(index) is \(values[index]), at \(file.place(index)), which is outside "
          + "the 32-bit integers")
    }
    return values.map { Int32($0) }
  }
}
