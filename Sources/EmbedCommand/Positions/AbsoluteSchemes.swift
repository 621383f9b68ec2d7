// Absolute positions for the command: the rows [T, D] that are added to token embeddings.

internal import EmbedKernel

enum AbsoluteOptions {
  static let dim = Option("dim", .integer("D", in: 1...1 << 20), "Elements of a row", default: 64)
  static let layout = Option<SinusoidLayout>(
    "sinusoid-layout", .cases, "Where sines and cosines stand", default: .interleaved)

  static let group = OptionGroup("Absolute", [dim, layout])

  /// Rows for positions from the offset on.
  static func array(
    _ arguments: Arguments,
    _ table: (_ rows: Int, _ dim: Int, _ first: Int) throws -> EmbeddingTable<Float>
  ) throws -> SchemeArray {
    let (rows, dim) = (try arguments[RotaryOptions.context], try arguments[dim])
    let table = try table(rows, dim, arguments[RotaryOptions.offset])
    // Once more, as an array.
    try SystemMemory.check(4 * rows * dim)
    return SchemeArray(
      shape: [rows, dim], values: unsafe Array(table.unsafeBuffer), rows: "position",
      columns: "element", unit: "added to the token embedding")
  }
}

extension PositionScheme {
  /// One line a scheme.
  static let absolute: [PositionScheme] = [
    PositionScheme(
      name: "sinusoidal", summary: "sines and cosines of each position by --base, rows [T, D]",
      array: { arguments in
        try AbsoluteOptions.array(arguments) {
          try AbsolutePositions.sinusoids(
            rows: $0, dim: $1, layout: arguments[AbsoluteOptions.layout],
            base: arguments[RotaryOptions.base], first: $2)
        }
      }),
    PositionScheme(
      name: "learned",
      summary: "what training starts from, normal(0, 0.02) by --weight-seed, rows [T, D]",
      array: { arguments in
        try AbsoluteOptions.array(arguments) { (rows, dim, first) in
          guard first == 0 else {
            throw CommandError.usage("--position-offset does not fit here: learned rows start at 0")
          }
          return try EmbeddingTable<Float>(
            rows: rows, dim: dim, .normal(sigma: 0.02), seed: arguments[BiasOptions.weightSeed])
        }
      }),
  ]
}
