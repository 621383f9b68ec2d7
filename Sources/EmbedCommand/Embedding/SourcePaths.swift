// The files that a call's faults are laid to.

internal import EmbedKernel

/// Where ids, segments and positions are from; nil for what is from no file.
struct SourcePaths {
  var ids: String?
  var segments: String?
  var places: String?

  /// Runs `body`; a fault in what a file says names the file.
  func naming<Result: ~Copyable>(
    _ body: () throws(EmbedError) -> Result
  ) throws -> Result {
    do throws(EmbedError) {
      return try body()
    } catch {
      let path =
        switch error {
        case .tokenOutOfRange: ids
        case .segmentOutOfRange: segments
        case .positionOutOfRange, .contextTooLong, .documentTooLong, .invalidCumulativeLength:
          places
        default: nil as String?
        }
      guard let path else { throw error }
      throw CommandError.data("'\(path)': \(error)")
    }
  }
}
