// Tokens of a text file in memory: all of them, or the first few of a file of any size.

extension Tokenizer {
  /// The ids of the text file at `path`: the first `limit`, or all there are.
  ///
  /// Reads no more than one part past the last id. Allocates the ids and one part of the text.
  ///
  /// - Parameters:
  ///   - path: Any bytes; pipes will do.
  ///   - special: How names of special tokens in the text are taken.
  ///   - limit: How many ids are wanted, 0 or more.
  ///   - partSize: How many bytes are read at a time.
  ///   - progress: Told how many ids there are so far.
  /// - Throws: What reading or encoding throws. Offsets in errors count from the start of the text.
  public func encode(
    file path: String, special: SpecialText = .ordinary, limit: Int = .max,
    partSize: Int = 1 << 16, progress: ProgressBar? = nil
  ) throws(DataError) -> [Int32] {
    var text = try TextParts(path: path, partSize: partSize)
    var ids: [Int32] = []
    while ids.count < limit, try text.advance(self) {
      do throws(DataError) {
        try encode(text.part, special: special, into: &ids)
      } catch {
        throw error.moved(by: text.offset)
      }
      progress?.update(completed: min(ids.count, limit))
    }
    progress?.finish()
    ids.removeLast(max(0, ids.count - limit))
    return ids
  }
}
