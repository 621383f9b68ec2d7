// Where tokens stand: the options that say so, in every subcommand that asks.

internal import EmbedKernel

enum PlaceOptions {
  static let offset = Option(
    "position-offset", "N", "Position of each sequence's first token (default 0).")
  static let offsets = Option(
    "position-offsets", "NPY",
    "Position of each sequence's own first token [batch], integers; token t of sequence b stands at "
      + "offsets[b] + t.")
  static let ids = Option(
    "position-ids", "NPY", "Positions [batch, context] or [context], integers.")
  static let cumulativeLengths = Option(
    "cumulative-lengths", "NPY",
    "Packed documents: [0, ..., batch * context], integers; positions restart at each.")
  static let mask = Option(
    "mask", "NPY",
    "0 for padding [batch, context], bool or integers; positions count the others from 0, padding "
      + "stands at 0.")

  /// All of them; they exclude each other.
  static let all = [offset, offsets, ids, cumulativeLengths, mask]

  /// Checks that one way is given at most.
  static func check(_ arguments: Arguments) throws(CommandError) {
    let given = all.filter { arguments.has($0) }
    if given.count > 1 {
      throw .usage("--\(given[0].name) and --\(given[1].name) exclude each other")
    }
  }

  /// Where each token of `[batch, context]` stands, and the file that says so.
  static func place(
    _ arguments: Arguments, batch: Int, context: Int
  ) throws -> (PositionIDs, path: String?) {
    try check(arguments)
    if let path = arguments.string(offsets) {
      return (.offsets(try integers(path, shapes: [[batch]])), path)
    }
    if let path = arguments.string(ids) {
      return (.explicit(try integers(path, shapes: [[batch, context], [context]])), path)
    }
    if let path = arguments.string(cumulativeLengths) {
      return (.packed(cumulativeLengths: try integers(path, shapes: [[-1]])), path)
    }
    if let path = arguments.string(mask) {
      let mask = try integers(path, shapes: [[batch, context]], truthAllowed: true)
      return (.mask(mask.map { $0 == 0 ? 0 : 1 }), path)
    }
    return (.sequential(offset: try arguments.integer(offset, in: 0...Int.max) ?? 0), nil)
  }
}
