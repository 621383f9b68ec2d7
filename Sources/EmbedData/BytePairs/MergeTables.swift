// A vocabulary's rules and whole pieces as the C code reads them, immutable once they are built.

internal import CTokenizer

/// The C side of a vocabulary. It takes some 4 MB for GPT-2's.
@safe final class MergeTables: @unchecked Sendable {
  let vocabulary: OpaquePointer

  /// Longer pieces are merged by `PieceMerger`.
  static let longestPiece = Int(EK_LONGEST_PIECE)

  init(pairs: borrowing PairTable, byteIDs: [UInt32]) {
    guard
      let made = unsafe ek_vocabulary_make(pairs.slots, pairs.slots.count, byteIDs)
    else { fatalError("no memory for a vocabulary") }
    unsafe vocabulary = made
  }

  deinit { unsafe ek_vocabulary_free(vocabulary) }

  /// Tells of a token, before any text is encoded.
  ///
  /// - Parameter isWhole: Whether a piece of the same bytes becomes it at once.
  /// - Throws: `conflictingToken` where there is no memory for it, or it can't be told from another.
  func add(
    _ bytes: ArraySlice<UInt8>, id: UInt32, isWhole: Bool
  ) throws(DataError) {
    let isAdded = unsafe bytes.withUnsafeBufferPointer {
      unsafe $0.isEmpty || ek_vocabulary_add(vocabulary, $0.baseAddress, $0.count, id, isWhole)
    }
    guard isAdded else {
      throw .conflictingToken(
        token: String(decoding: bytes, as: UTF8.self), id: Int(id),
        reason: "has no place in the table of tokens")
    }
  }

  /// Keeps text from being cut inside pieces, where merging doesn't lead to each whole piece's token.
  func joinAll() { unsafe ek_vocabulary_join_all(vocabulary) }

  /// The merge of two neighbours, or `Merge.none`.
  @inline(__always)
  func merge(_ left: UInt32, _ right: UInt32) -> Merge {
    let pair = unsafe ek_vocabulary_pair(vocabulary, left, right)
    if pair == .max { return .none }
    return Merge(rank: UInt32(pair >> 32), id: UInt32(truncatingIfNeeded: pair))
  }
}
