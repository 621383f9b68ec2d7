// Where each token of a batch stands. Every position scheme takes this one object, so offsets,
// padding and packing mean the same for learned rows, rotations and biases.
//
// B batch, T context, N = B*T tokens in row-major order.

/// The position of each token of a batch `[batch, context]`.
///
/// Arrays given here are kept by reference: making one of these from an array copies nothing.
public struct PositionIDs: Sendable {
  let layout: Layout

  enum Layout: Sendable {
    case sequential(offset: Int)
    case offsets([Int32])
    case explicit([Int32])
    case packed([Int32])
    case mask([UInt8])
  }

  /// Positions `offset, offset + 1, ...` in every sequence; a decoder's offset is the number of
  /// tokens its cache holds.
  public static func sequential(offset: Int = 0) -> PositionIDs {
    PositionIDs(layout: .sequential(offset: offset))
  }

  /// Positions `offsets[b], offsets[b] + 1, ...` in sequence `b`: one cache length a sequence.
  ///
  /// - Parameter offsets: Shape `[batch]`.
  public static func offsets(_ offsets: [Int32]) -> PositionIDs {
    PositionIDs(layout: .offsets(offsets))
  }

  /// Any position for any token.
  ///
  /// - Parameter ids: Shape `[batch, context]`, or `[context]` for the same in every sequence.
  public static func explicit(_ ids: [Int32]) -> PositionIDs {
    PositionIDs(layout: .explicit(ids))
  }

  /// Documents packed one after another; positions restart at 0 with each.
  ///
  /// The lengths are the only source of where documents begin: one-token and empty documents count
  /// as any other, and a document may go on into the next batch row.
  ///
  /// - Parameter cumulativeLengths: Starts with 0, never falls, ends with `batch * context`.
  public static func packed(cumulativeLengths: [Int32]) -> PositionIDs {
    PositionIDs(layout: .packed(cumulativeLengths))
  }

  /// Positions that count the real tokens of each sequence, as with left padding.
  ///
  /// A real token's position is the number of real tokens before it; a padding token takes 0.
  ///
  /// - Parameter mask: Shape `[batch, context]`: 0 for padding, anything else for a real token.
  public static func mask(_ mask: [UInt8]) -> PositionIDs {
    PositionIDs(layout: .mask(mask))
  }
}

extension PositionIDs {
  /// Checks that this fits `[batch, context]` and that no position is negative.
  ///
  /// - Returns: Whether all positions are below `maximum`.
  package func check(batch: Int, context: Int, maximum: Int) throws(EmbedError) -> Bool {
    let tokens = batch * context
    switch layout {
    case .sequential(let offset):
      guard offset >= 0 else {
        throw .invalidSize(argument: "position offset", value: offset, expected: "0 or more")
      }
      let (end, overflow) = offset.addingReportingOverflow(context)
      guard !overflow else {
        throw .contextTooLong(offset: offset, context: context, maximum: maximum)
      }
      return tokens == 0 || end <= maximum
    case .offsets(let offsets):
      guard offsets.count == batch else {
        throw .wrongElementCount(
          argument: "position offsets", expected: batch, shape: [batch], actual: offsets.count)
      }
      for (row, offset) in offsets.enumerated() where offset < 0 {
        throw .positionOutOfRange(
          position: Int(offset), batchRow: row, index: 0, maximum: maximum)
      }
      return offsets.allSatisfy { Int($0) + context <= maximum } || tokens == 0
    case .explicit(let ids):
      guard ids.count == tokens || ids.count == context else {
        throw .wrongElementCount(
          argument: "position ids", expected: tokens, shape: [batch, context], actual: ids.count)
      }
      var (lowest, highest) = (Int32.max, Int32.min)
      for id in ids { (lowest, highest) = (min(lowest, id), max(highest, id)) }
      if lowest < 0, let i = ids.firstIndex(where: { $0 < 0 }) {
        throw .positionOutOfRange(
          position: Int(ids[i]), batchRow: i / context, index: i % context, maximum: maximum)
      }
      return ids.isEmpty || Int(highest) < maximum
    case .packed(let lengths):
      try checkPacked(lengths, tokens: tokens)
      return zip(lengths, lengths.dropFirst()).allSatisfy { Int($1 - $0) <= maximum }
    case .mask(let mask):
      guard mask.count == tokens else {
        throw .wrongElementCount(
          argument: "mask", expected: tokens, shape: [batch, context], actual: mask.count)
      }
      if context <= maximum { return true }
      return (0..<batch).allSatisfy { row in
        mask[row * context..<(row + 1) * context].lazy.filter { $0 != 0 }.count <= maximum
      }
    }
  }

  /// Checks that this fits `[batch, context]` and that all positions are in `0..<maximum`.
  @inline(__always)
  package func requireBelow(_ maximum: Int, batch: Int, context: Int) throws(EmbedError) {
    guard try check(batch: batch, context: context, maximum: maximum) else {
      throw overflow(batch: batch, context: context, maximum: maximum)
    }
  }

  private func checkPacked(_ lengths: [Int32], tokens: Int) throws(EmbedError) {
    guard let first = lengths.first, let last = lengths.last else {
      throw .wrongElementCount(
        argument: "cumulative lengths", expected: 1, shape: [1], actual: 0)
    }
    guard first == 0 else {
      throw .invalidCumulativeLength(index: 0, value: Int(first), expected: "0")
    }
    for index in 1..<max(1, lengths.count) where lengths[index] < lengths[index - 1] {
      throw .invalidCumulativeLength(
        index: index, value: Int(lengths[index]),
        expected: "at least the one before it, \(lengths[index - 1])")
    }
    guard Int(last) == tokens else {
      throw .invalidCumulativeLength(
        index: lengths.count - 1, value: Int(last), expected: "batch * context = \(tokens)")
    }
  }

  /// The error that says which position is not below `maximum`.
  package func overflow(batch: Int, context: Int, maximum: Int) -> EmbedError {
    switch layout {
    case .sequential(let offset):
      return .contextTooLong(offset: offset, context: context, maximum: maximum)
    case .packed(let lengths):
      let document = lengths.indices.dropFirst().first {
        Int(lengths[$0] - lengths[$0 - 1]) > maximum
      }
      let end = document ?? lengths.count - 1
      return .documentTooLong(
        document: end - 1, length: Int(lengths[end] - lengths[end - 1]), maximum: maximum)
    case .offsets, .explicit, .mask:
      var found: (token: Int, position: Int)?
      withPlaces(context: context) { places in
        places.forEachRun(context: context, in: 0..<batch * context) { start, count, position in
          guard found == nil, position + count > maximum else { return }
          let first = max(position, maximum)
          found = (start + first - position, first)
        }
      }
      let (token, position) = found ?? (0, maximum)
      return .positionOutOfRange(
        position: position, batchRow: token / context, index: token % context, maximum: maximum)
    }
  }
}

extension PositionIDs {
  /// One more than the highest position of the tokens `range` of a checked batch.
  package func length(context: Int, in range: Range<Int>) -> Int {
    var length = 0
    withPlaces(context: context) { places in
      length = places.bounds(context: context, in: range).map { $0.upperBound + 1 } ?? 0
    }
    return length
  }
}
