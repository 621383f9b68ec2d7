// How rows that are no plain floats are named on the command line, and in the metadata of files.

internal import EmbedKernel
internal import EmbedRows

enum RowOptions {
  /// The formats by their names here: `fp8` has scales, as models have them, and `int4` is FBGEMM's.
  static let names: [(name: String, value: RowFormat)] =
    [("int8", .int8), ("int4", .fbgemm4), ("q8_0", .q8_0), ("fp8", .fp8Row), ("fp8_plain", .fp8)]
    + RowFormat.allCases.filter { ![.int8, .q8_0, .fp8].contains($0) }.map { ($0.rawValue, $0) }

  static let rows = Option<RowFormat?>(
    "rows", .choice(names, "NAME"),
    "What the bytes of a uint8 token table [vocabulary, bytes of a row] are: int4 and fbgemm8 have scale "
      + "and bias at their end as FBGEMM has them, q8_0, q4_0, q4_k and q6_k are GGUF's blocks; int8, fp8 "
      + "and others with scales beside the rows need those too. Other files say it themselves")
  static let rowScales = Option(
    "row-scales", .array,
    "Scales of an int8 or fp8 token table: one; [vocabulary] or [vocabulary, 1]; or one for each block of "
      + "columns", otherwise: "those that the file has beside the table")

  static let resident = Option<Int?>(
    "resident", .integer("BYTES", in: 1 << 20...Int.max),
    "How many bytes of the token table's file may be in memory: the table is then mapped and read row by row, "
      + "and pages above the limit are given back",
    otherwise: "floats are copied where memory has room, and else mapped; other rows are mapped")

  /// The key of the metadata that says a tensor's format, where its type does not.
  static func key(of tensor: String) -> String { "embedkernel.rows.\(tensor)" }
}

extension RowFormat {
  /// The type of such rows in GGUF files; nil where those have none.
  var ggufType: GGUFType? { GGUFType(name: rawValue.uppercased()) }

  /// The format of a GGUF type's rows; nil where there is none.
  init?(_ type: GGUFType) { self.init(rawValue: type.name.lowercased()) }
}
