// The table that `step` moves, in its element type: float32; or bfloat16 or float16, with master rows or
// rounded at random.

internal import EmbedKernel

/// A table as its file has it, and how new values get into it.
struct StepTable {
  private let table: any AnyTable
  /// Nil for a table of floats.
  private let updates: Updates?
  private let seed: UInt64

  static let updates = Option<Updates?>(
    "updates", .cases,
    "For a bfloat16 or float16 table: masters steps float32 rows, which start from the table's, and rounds the "
      + "stepped ones to nearest even; stochastic steps the rows themselves in float32 and rounds each "
      + "element up or down at random so that the mean is kept. What float16 has no room for, past "
      + "65504, becomes infinite; master rows keep it", otherwise: "masters")
  static let roundingSeed = Option(
    "rounding-seed", .seed, "Seed of the stochastic rounding; same seed, same bits", default: 0)

  /// What a step of a 16-bit table goes on from.
  enum Updates: String, CaseIterable, Sendable {
    case masters
    case stochastic
  }

  /// Reads the table that the arguments name.
  init(_ path: String, _ arguments: Arguments) throws {
    let updates = try arguments[Self.updates]
    if updates != .stochastic {
      try arguments.refuse([Self.roundingSeed], "is for --updates stochastic")
    }
    seed = try arguments[Self.roundingSeed]
    table = try TableFile.read(path)
    let isFloat = table is EmbeddingTable<Float>
    if isFloat {
      try arguments.refuse(
        [Self.updates], "is for a bfloat16 or float16 table; '\(path)' is float32")
    }
    self.updates = isFloat ? nil : updates ?? .masters
  }

  /// What a saved state remembers of it.
  var texts: [String: String] {
    [Self.updates.name: updates?.rawValue ?? "none"].merging(
      updates == .stochastic ? [Self.roundingSeed.name: "\(seed)"] : [:]
    ) { $1 }
  }

  /// An optimiser of fresh state.
  ///
  /// - Parameter values: What steps are computed on instead of the table: floats, or master rows that
  ///   are rounded. The table then stays as it is.
  func optimizer(
    _ rule: UpdateRule, trainable: TrainableRows, frozenRow: Int?,
    from values: EmbeddingTable<Float>? = nil
  ) throws -> TableOptimizer {
    func make<Element: SixteenBitElement>(
      _ table: EmbeddingTable<Element>
    ) throws -> TableOptimizer {
      guard updates == .masters else {
        return try TableOptimizer(
          rule, for: table, updates: .stochastic(seed: seed), trainable: trainable,
          frozenRow: frozenRow)
      }
      let masters = try values ?? table.widened()
      return try TableOptimizer(
        rule, for: values == nil ? table : EmbeddingTable(rounding: masters),
        updates: .masters(masters), trainable: trainable, frozenRow: frozenRow)
    }
    switch table {
    case let table as EmbeddingTable<BFloat16>: return try make(table)
    case let table as EmbeddingTable<Half>: return try make(table)
    default:
      return try TableOptimizer(
        rule, for: values ?? table.floats(), trainable: trainable, frozenRow: frozenRow)
    }
  }

  /// Whether the file's values are the bits that the optimiser's table has.
  func isTable(of optimizer: TableOptimizer) -> Bool {
    func isSame<Element: TableElement>(
      _ table: EmbeddingTable<Element>, _ stepped: EmbeddingTable<Element>?
    ) -> Bool {
      stepped.map { Embed.sameBits($0.span, table.span) } ?? false
    }
    return switch table {
    case let table as EmbeddingTable<BFloat16>: isSame(table, optimizer.rounded())
    case let table as EmbeddingTable<Half>: isSame(table, optimizer.rounded())
    case let table as EmbeddingTable<Float>: isSame(table, optimizer.table)
    default: false
    }
  }
}

extension TableOptimizer {
  /// Writes the table that it moves.
  func writeTable(to path: String) throws {
    if let rounded = rounded(BFloat16.self) {
      try NumPyFile.write(rounded.span, shape: [rows, dim], to: path)
    } else if let rounded = rounded(Half.self) {
      try NumPyFile.write(rounded.span, shape: [rows, dim], to: path)
    } else if let table {
      try NumPyFile.write(table.span, shape: [rows, dim], to: path)
    }
  }
}
