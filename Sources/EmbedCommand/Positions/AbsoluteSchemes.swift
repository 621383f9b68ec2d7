// Absolute positions for the command: the rows [T, D] that are added to token embeddings.

internal import EmbedKernel

enum AbsoluteOptions {
  static let dim = Option("dim", "D", "Elements of a row (default 64).")
  static let layout = ChoiceOption<SinusoidLayout>(
    "sinusoid-layout", SinusoidLayout.allCases.map { ($0.rawValue, $0) },
    "Where sines and cosines stand (default interleaved).")

  static let group = OptionGroup("Absolute", [dim, layout.option])

  /// Rows for positions from the offset on.
  static func array(
    _ arguments: Arguments, unit: String,
    _ table: (_ rows: Int, _ dim: Int, _ first: Int) throws -> EmbeddingTable<Float>
  ) throws -> SchemeArray {
    let rows = try arguments.integer(RotaryOptions.context, in: 1...1 << 24) ?? 64
    let first = try arguments.integer(RotaryOptions.offset, in: 0...Int(Int32.max)) ?? 0
    let dim = try arguments.integer(dim, in: 1...1 << 20) ?? 64
    let table = try table(rows, dim, first)
    // Once more, as an array.
    try SystemMemory.check(4 * rows * dim)
    return SchemeArray(
      shape: [rows, dim], values: unsafe Array(table.unsafeBuffer), rows: "position",
      columns: "element", unit: unit)
  }
}

extension PositionScheme {
  /// One line a scheme.
  static let absolute: [PositionScheme] = [
    PositionScheme(
      name: "sinusoidal", summary: "sines and cosines of each position by --base, rows [T, D]",
      array: { arguments in
        try AbsoluteOptions.array(arguments, unit: "added to the token embedding") {
          try AbsolutePositions.sinusoids(
            rows: $0, dim: $1, layout: arguments.choice(AbsoluteOptions.layout) ?? .interleaved,
            base: arguments.number(RotaryOptions.base, above: 0) ?? 10_000, first: $2)
        }
      }, rotation: nil),
    PositionScheme(
      name: "learned",
      summary: "what training starts from, normal(0, 0.02) by --weight-seed, rows [T, D]",
      array: { arguments in
        try AbsoluteOptions.array(arguments, unit: "added to the token embedding") {
          (rows, dim, first) in
          guard first == 0 else {
            throw CommandError.usage("--position-offset does not fit here: learned rows start at 0")
          }
          let seed = try arguments.integer(BiasOptions.weightSeed, in: 0...Int.max) ?? 0
          return try EmbeddingTable<Float>(
            rows: rows, dim: dim, .normal(sigma: 0.02), seed: UInt64(seed))
        }
      }, rotation: nil),
  ]
}
