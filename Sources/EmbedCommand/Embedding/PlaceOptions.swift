// Where tokens stand: the options that say so, in every subcommand that asks.

internal import EmbedKernel

enum PlaceOptions {
  static let offset = Option(
    "position-offset", .natural, "Position of each sequence's first token", default: 0)
  static let offsets = Option(
    "position-offsets", .array,
    "Position of each sequence's own first token [batch], integers; token t of sequence b stands at "
      + "offsets[b] + t")
  static let ids = Option(
    "position-ids", .array, "Positions [batch, context] or [context], integers")
  static let cumulativeLengths = Option(
    "cumulative-lengths", .array,
    "Packed documents: [0, ..., batch * context], integers; positions restart at each")
  static let mask = Option(
    "mask", .array,
    "0 for padding [batch, context], bool or integers; positions count the others from 0, padding "
      + "stands at 0")
  static let overflow = Option<PositionOverflow>(
    "position-overflow", .choice([("error", .error), ("clamp", .clamp)]),
    "For a position past the table: stop, or take the last row", default: .error)

  /// All that say where tokens stand; they exclude each other.
  static let all: [any AnyOption] = [offset, offsets, ids, cumulativeLengths, mask]
  /// The same with what holds past a table's end.
  static let withOverflow = all + [overflow]

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
    if let path = try arguments[offsets] {
      return (.offsets(try integers(path, shapes: [[batch]])), path)
    }
    if let path = try arguments[ids] {
      return (.explicit(try integers(path, shapes: [[batch, context], [context]])), path)
    }
    if let path = try arguments[cumulativeLengths] {
      return (.packed(cumulativeLengths: try integers(path, shapes: [[-1]])), path)
    }
    if let path = try arguments[mask] {
      let mask: [Int64] = try integers(path, shapes: [[batch, context]], truthAllowed: true)
      return (.mask(mask.map { $0 == 0 ? 0 : 1 }), path)
    }
    return (.sequential(offset: try arguments[offset]), nil)
  }

  /// The position after `context` tokens from an offset on.
  static func end(_ offset: Int, _ context: Int) throws(CommandError) -> Int {
    let (end, overflow) = offset.addingReportingOverflow(context)
    guard !overflow else { throw .usage("option --\(Self.offset.name): \(offset) is too large") }
    return end
  }
}
