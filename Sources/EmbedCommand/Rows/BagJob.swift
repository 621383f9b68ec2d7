// What `bag` computes: a table of any form, ids, and how they fall into bags.

internal import EmbedKernel
internal import EmbedRows

/// A call on bags, ready to run.
struct BagJob {
  let table: any AnyTable
  /// How many bags there are.
  let count: Int
  /// Lines of the report on where all is from: what, shape, remark.
  let facts: [(what: String, shape: String, remark: String)]

  private let ids: [Int64]
  private let form: Form
  private let weights: [Float]?
  private let pool: BagPool
  private let options: BagOptions
  private let paths: Paths

  /// How the ids fall into bags.
  private enum Form {
    case offsets([Int64], LastOffset)
    case lengths([Int64])
    case rectangle(bag: Int)
  }

  /// The files that a call's faults are laid to.
  private struct Paths {
    var ids: String
    var bags: String
    var table: String
  }

  /// Reads the files and checks their shapes against each other.
  init(_ arguments: Arguments) throws {
    let tablePath = try arguments[Bag.tokenTable]
    let idsPath = try arguments[Bag.tokenIDs]
    pool = try arguments[Bag.mode]
    if pool != .sum { try arguments.refuse([Bag.weights], "is for --mode sum") }
    let file = try ArrayFile(idsPath)
    ids = try file.integers()
    if let path = try arguments[Bag.offsets] {
      try arguments.refuse([Bag.lengths], "and --\(Bag.offsets.name) exclude each other")
      try file.require(rank: 1)
      let offsets: [Int64] = try integers(path, shapes: [[-1]])
      let last = try arguments[Bag.lastOffset]
      form = .offsets(offsets, last)
      count = last == .included ? max(0, offsets.count - 1) : offsets.count
      paths = Paths(ids: idsPath, bags: path, table: tablePath)
    } else if let path = try arguments[Bag.lengths] {
      try file.require(rank: 1)
      let lengths: [Int64] = try integers(path, shapes: [[-1]])
      (form, count) = (.lengths(lengths), lengths.count)
      paths = Paths(ids: idsPath, bags: path, table: tablePath)
    } else {
      guard file.shape.count == 2 else {
        throw CommandError.usage(
          "--\(Bag.offsets.name) or --\(Bag.lengths.name) is needed: '\(idsPath)' has shape \(file.shape), "
            + "which is no rectangle [bags, ids of a bag]")
      }
      (form, count) = (.rectangle(bag: file.shape[1]), file.shape[0])
      paths = Paths(ids: idsPath, bags: idsPath, table: tablePath)
    }
    weights = try arguments[Bag.weights].map {
      let weights = try ArrayFile($0)
      try weights.require(shapes: [file.shape], " as in '\(idsPath)'")
      return try weights.floats()
    }
    options = BagOptions(
      paddingID: try arguments[Bag.paddingID], unknownIDs: try arguments[LayerOptions.unknownIDs])
    table = try TableFile.tokens(
      tablePath, rows: arguments[RowOptions.rows], scales: arguments[RowOptions.rowScales],
      resident: arguments[RowOptions.resident])
    facts = [
      ("token ids", "\(file.shape)", "'\(idsPath)', \(file.elementType)"),
      ("token table", "\([table.rows, table.dim])", "'\(tablePath)', \(table.typeName)"),
    ]
  }

  /// Pools the rows; a fault in what a file says names the file.
  func run<Output: TableElement>(
    into output: inout AlignedBuffer<Output>, using kernels: Kernels
  ) throws {
    do throws(EmbedError) {
      switch form {
      case .offsets(let offsets, let last):
        try pool(.offsets(offsets, last: last), &output, kernels)
      case .lengths(let lengths): try pool(.lengths(lengths), &output, kernels)
      case .rectangle(let bag): try pool(.rectangle(batch: count, bag: bag), &output, kernels)
      }
    } catch {
      let path =
        switch error {
        case .tokenOutOfRange: paths.ids
        case .invalidSize(argument: let argument, value: _, expected: _):
          argument.hasPrefix("offset") || argument.hasPrefix("length") ? paths.bags : paths.ids
        case .wrongElementCount: paths.bags
        default: nil as String?
        }
      guard let path else { throw error }
      throw CommandError.data("'\(path)': \(error)")
    }
  }

  private func pool<Output: TableElement>(
    _ bags: borrowing Bags, _ output: inout AlignedBuffer<Output>, _ kernels: Kernels
  ) throws(EmbedError) {
    switch table {
    case let rows as RowTable:
      try kernels.bag(
        ids: ids, in: bags, weights: weights, tokens: rows, pool: pool, options: options,
        into: &output)
    case let floats as EmbeddingTable<Float>: try pool(floats, bags, &output, kernels)
    case let floats as EmbeddingTable<Half>: try pool(floats, bags, &output, kernels)
    case let floats as EmbeddingTable<BFloat16>: try pool(floats, bags, &output, kernels)
    default: preconditionFailure("a table of another type")
    }
  }

  private func pool<Element: TableElement, Output: TableElement>(
    _ tokens: EmbeddingTable<Element>, _ bags: borrowing Bags,
    _ output: inout AlignedBuffer<Output>, _ kernels: Kernels
  ) throws(EmbedError) {
    try kernels.bag(
      ids: ids, in: bags, weights: weights, tokens: tokens, pool: pool, options: options,
      into: &output)
  }
}
