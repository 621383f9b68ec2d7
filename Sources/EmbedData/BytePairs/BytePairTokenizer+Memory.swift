// Ids straight into the caller's memory, as the C interface and Python have them.

internal import CTokenizer

extension BytePairTokenizer {
  /// Writes the ids of `bytes` to the start of `ids`: as many as bytes always fit.
  ///
  /// Allocates nothing in the steady state, but for a list of the ids where `special` is not
  /// `.ordinary` or a byte has no token, and for parts of the ids where several threads share a text.
  ///
  /// - Parameters:
  ///   - threads: At least 1; nil for all CPUs that the process may use.
  /// - Returns: How many ids there are. Where they are more than `ids` has room for, the rest is not
  ///   written, and a second call with so much room gives all.
  /// - Throws: What encoding into an array throws; nothing is written then.
  public func encode(
    _ bytes: Span<UInt8>, special: SpecialText = .ordinary, threads: Int? = 1,
    into ids: inout MutableSpan<Int32>
  ) throws(DataError) -> Int {
    // What may fail is put into a list first.
    if special != .ordinary || !tables.coversAllBytes || bytes.count >= Int(UInt32.max) {
      return try encodeByList(bytes, special: special, threads: threads, into: &ids)
    }
    let sharing = try sharing(bytes.count, threads)
    return try unsafe ids.withUnsafeMutableBufferPointer { target throws(DataError) in
      try unsafe bytes.withUnsafeBufferPointer { text throws(DataError) in
        guard let base = text.baseAddress else { return 0 }
        if let sharing { return try unsafe encode(text, threads: sharing, target) }
        return try withWorkspace { workspace throws(DataError) in
          try unsafe encode(base, text.count, workspace, target)
        }
      }
    }
  }

  private func encode(
    _ text: UnsafePointer<UInt8>, _ count: Int, _ workspace: Workspace,
    _ target: UnsafeMutableBufferPointer<Int32>
  ) throws(DataError) -> Int {
    var position = 0
    var written = 0
    while position < count {
      var isLong = false
      let room = target.count - written
      if room >= Int(EK_LEAST_ROOM) {
        unsafe written += ek_encode(
          workspace.encoder, tables.merges.vocabulary, text, &position, count,
          target.baseAddress.unsafelyUnwrapped + written, room, &isLong)
      } else {
        let found = unsafe ek_encode(
          workspace.encoder, tables.merges.vocabulary, text, &position, count, workspace.ids,
          Workspace.room, &isLong)
        unsafe put(UnsafeBufferPointer(start: workspace.ids, count: found), target, &written)
      }
      guard isLong else { continue }
      let end = unsafe ek_piece_end(text, position, count)
      var ids: [Int32] = []
      try unsafe encodeLong(text, position..<end, workspace, &ids)
      unsafe ids.withUnsafeBufferPointer { unsafe put($0, target, &written) }
      position = end
    }
    return written
  }

  /// Copies what there is room for, and counts all.
  func put(
    _ ids: UnsafeBufferPointer<Int32>, _ target: UnsafeMutableBufferPointer<Int32>,
    _ written: inout Int
  ) {
    let room = max(0, target.count - written)
    if room > 0, ids.count > 0 {
      unsafe (target.baseAddress.unsafelyUnwrapped + written).update(
        from: ids.baseAddress.unsafelyUnwrapped, count: min(room, ids.count))
    }
    written += ids.count
  }
}
