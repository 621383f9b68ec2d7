// The table that `step` moves, in its element type: float32; or bfloat16, with master rows or rounded at
// random.

internal import EmbedKernel

/// A table and how new values get into it.
enum StepTable {
  case float32(EmbeddingTable<Float>)
  case masters(EmbeddingTable<BFloat16>, EmbeddingTable<Float>)
  case stochastic(EmbeddingTable<BFloat16>, seed: UInt64)

  static let updates = Option<Updates?>(
    "updates", .cases,
    "For a bfloat16 table: masters steps float32 rows, which start from the table's, and rounds the "
      + "stepped ones to nearest even; stochastic steps the rows themselves in float32 and rounds each "
      + "element up or down at random so that the mean is kept", otherwise: "masters")
  static let roundingSeed = Option(
    "rounding-seed", .seed, "Seed of the stochastic rounding; same seed, same bits", default: 0)

  /// What a step of a bfloat16 table goes on from.
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
    switch try TableFile.read(path) {
    case let table as EmbeddingTable<Float>:
      try arguments.refuse([Self.updates], "is for a bfloat16 table; '\(path)' is float32")
      self = .float32(table)
    case let table as EmbeddingTable<BFloat16>:
      self =
        updates == .stochastic
        ? .stochastic(table, seed: try arguments[Self.roundingSeed])
        : .masters(table, try table.widened())
    default:
      throw CommandError.data(
        "'\(path)': not available: steps of a float16 table; expected float32 or bfloat16 "
          + "('embedkernel convert' makes one of the other)")
    }
  }

  var rows: Int {
    switch self {
    case .float32(let table): table.rows
    case .masters(let table, _), .stochastic(let table, _): table.rows
    }
  }

  var dim: Int {
    switch self {
    case .float32(let table): table.dim
    case .masters(let table, _), .stochastic(let table, _): table.dim
    }
  }

  /// What a saved state remembers of it.
  var texts: [String: String] {
    switch self {
    case .float32: [Self.updates.name: "none"]
    case .masters: [Self.updates.name: "masters"]
    case .stochastic(_, let seed):
      [Self.updates.name: "stochastic", Self.roundingSeed.name: "\(seed)"]
    }
  }

  func optimizer(
    _ rule: UpdateRule, trainable: TrainableRows, frozenRow: Int?
  ) throws(EmbedError) -> TableOptimizer {
    switch self {
    case .float32(let table):
      try TableOptimizer(rule, for: table, trainable: trainable, frozenRow: frozenRow)
    case .masters(let table, let masters):
      try TableOptimizer(
        rule, for: table, updates: .masters(masters), trainable: trainable, frozenRow: frozenRow)
    case .stochastic(let table, let seed):
      try TableOptimizer(
        rule, for: table, updates: .stochastic(seed: seed), trainable: trainable,
        frozenRow: frozenRow)
    }
  }

  /// The same kind of table with other values to step: floats, or master rows that are rounded.
  func replacing(_ values: EmbeddingTable<Float>) throws(EmbedError) -> StepTable {
    switch self {
    case .float32: .float32(values)
    case .masters: .masters(try EmbeddingTable(rounding: values), values)
    case .stochastic: self
    }
  }

  /// Whether the values that are written are the same bits as another's.
  func equals(_ other: StepTable) -> Bool {
    switch (self, other) {
    case (.float32(let a), .float32(let b)): Embed.sameBits(a.span, b.span)
    case (.masters(let a, _), .masters(let b, _)), (.stochastic(let a, _), .stochastic(let b, _)):
      Embed.sameBits(a.span, b.span)
    default: false
    }
  }

  func write(to path: String) throws {
    switch self {
    case .float32(let table):
      try NumPyFile.write(table.span, shape: [rows, dim], to: path)
    case .masters(let table, _), .stochastic(let table, _):
      try NumPyFile.write(table.span, shape: [rows, dim], to: path)
    }
  }
}
