// The pieces of GPT-2's pattern in three ways, for tests and fuzzing to hold them against another: by SIMD,
// as texts are encoded; a character at a time, as long pieces and cuts are found; and by PCRE2, which takes
// the published pattern as it is written.

internal import CTokenizer

/// Where the pieces of a text end.
package enum TextPieces {
  /// The instruction sets that this CPU has, by their numbers.
  package static var sets: [UInt32] {
    (0..<EK_TEXT_SETS.rawValue).filter { unsafe ek_text_kernels_for(ek_text_set($0)) != nil }
  }

  /// By SIMD, with the best set or `set`. A window is how many bytes are taken at a time, at least 1.
  package static func ends(_ text: [UInt8], window: Int = 8_192, set: UInt32? = nil) -> [Int] {
    let kernels = unsafe ek_text_kernels_for(ek_text_set(set ?? sets.last ?? 0)).unsafelyUnwrapped
    var found: [Int] = []
    var room = [UInt32](repeating: 0, count: window + 136)
    unsafe text.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      var start = 0
      while start < buffer.count {
        let count = unsafe kernels.pointee.piece_ends(
          base, start, window, buffer.count, nil, &room)
        for end in room[..<count] { found.append(start + Int(end)) }
        if count == 0 { found.append(unsafe ek_piece_end(base, start, buffer.count)) }
        start = found.last ?? buffer.count
      }
    }
    return found
  }

  /// A character at a time.
  package static func endsByCharacter(_ text: [UInt8]) -> [Int] {
    var found: [Int] = []
    unsafe text.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      while (found.last ?? 0) < buffer.count {
        found.append(unsafe ek_piece_end(base, found.last ?? 0, buffer.count))
      }
    }
    return found
  }

  /// By PCRE2 in each stretch of well-formed text; the runs of bytes between them are pieces.
  package static func ends(
    _ text: [UInt8], by matcher: TextPatternMatcher
  ) throws(DataError) -> [Int] {
    try unsafe text.withUnsafeBufferPointer { buffer throws(DataError) in
      var found: [Int] = []
      guard let base = buffer.baseAddress else { return found }
      var position = 0
      while position < buffer.count {
        let end = unsafe wellFormedEnd(base, position, buffer.count)
        while position < end {
          position = try unsafe matcher.pieceEnd(base, position, end)
          found.append(position)
        }
        guard position < buffer.count else { break }
        position = unsafe illFormedEnd(base, position, buffer.count)
        found.append(position)
      }
      return found
    }
  }

  /// The class of a code point: 0 for other signs, 1 for letters, 2 for numbers, 3 for space.
  package static func kind(_ point: UInt32) -> UInt32 { ek_class(point) }
}

extension BytePairTokenizer {
  /// The ids of a text by the instruction set `set`, from a cache that is empty at first; `times` over, of
  /// which the last counts. Pieces of more than 256 bytes are merged as elsewhere.
  package func encode(_ text: [UInt8], set: UInt32, times: Int = 1) -> [Int32] {
    let kernels = unsafe ek_text_kernels_for(ek_text_set(set)).unsafelyUnwrapped
    let encoder = unsafe ek_encoder_make(tables.merges.vocabulary)
    defer { unsafe ek_encoder_free(encoder) }
    let room = text.count + Int(EK_LEAST_ROOM)
    var ids: [Int32] = []
    for _ in 0..<times {
      var isLong = false
      var position = 0
      ids.removeAll(keepingCapacity: true)
      while position < text.count {
        ids.append(addingCapacity: room) { span in
          unsafe span.withUnsafeMutableBufferPointer { buffer, count in
            unsafe count += kernels.pointee.encode(
              encoder, tables.merges.vocabulary, text, &position, text.count,
              buffer.baseAddress.unsafelyUnwrapped + count, room, &isLong)
          }
        }
        if isLong {
          let end = unsafe ek_piece_end(text, position, text.count)
          ids += merge(Array(text[position..<end]), stretch: end - position)
          position = end
        }
      }
    }
    return ids
  }
}
