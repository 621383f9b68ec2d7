// `convert`: checkpoints and arrays in another form: file format, element type, names, sizes, or layout
// of rotary pairs.

internal import EmbedKernel
internal import EmbedModels
internal import EmbedResizing
internal import EmbedRows

/// Converts a file.
enum Convert: Subcommand {
  static let name = "convert"
  static let summary =
    "Checkpoints and arrays in another format, type, row form, naming, size or rotary layout."
  static let usage = [
    "FILE --output OUT [OPTIONS]",
    "FILE OUT --rows int8|int4|q8_0|fp8 [OPTIONS]",
    "FILE.safetensors --rotary-layout half|interleaved --head-dim D --output OUT.safetensors "
      + "[OPTIONS]",
  ]
  static let about = [
    "FILE is .safetensors, .gguf, .npz or .npy, or one array of the first three as FILE:NAME, or a sharded "
      + "model's index or folder; OUT's ending says what is written. The output appears whole or not at all. "
      + "Between files of one format, tensors and metadata that no option changes keep their bytes, whatever "
      + "their type; .npz and .npy have no metadata, and .safetensors texts alone. bfloat16 is written to .npy and .npz as NumPy's '<V2'.",
    "With --rows, the token table's rows are quantised by the rule of the format's inventors, and the size "
      + "and the error are told. In .safetensors, int8 and fp8 rows have their scales beside them as NAME_scale; "
      + "formats that have no type there, such as int4, are of U8 and named by the metadata "
      + "'embedkernel.rows.NAME'. A table that is quantised already is decoded first; f32 leaves it so.",
    "With --rotary-layout, the rows of query and key projections of a .safetensors file are reordered "
      + "from one layout to the other, in each head [head dim, inputs] of [heads * head dim, inputs] or "
      + "[heads * head dim]: half pairs element i with i + rotary dim / 2, interleaved 2i with 2i + 1; "
      + "half from interleaved is w.view(heads, dim / 2, 2, inputs).transpose(1, 2) as in transformers' "
      + "conversion of Llama. It goes alone, and records the layout in the metadata, as "
      + "'embedkernel.rotary_layout'.",
  ]

  static let output = Option(
    "output", .text("FILE"), "Where the result goes, unless OUT stands after FILE")
  static let type = Option<ElementType?>(
    "type", .elementType,
    "Element type that F64, F32, F16 and BF16 tensors are rounded to, once and to nearest even, or "
      + "widened to; others are kept", otherwise: "all are kept")
  static let rows = Option<RowFormat?>(
    "rows", .choice(RowOptions.names, "NAME"),
    "The form of the token table's rows: int8 and fp8 with a scale a row, int4 and fbgemm8 as FBGEMM has "
      + "them, q8_0, q4_0, q4_k or q6_k as GGUF, and others", otherwise: "as they are")
  static let tensors = Option(
    "tensors", .list("NAME,NAME,..."),
    "The tensors that --type changes (default: all of those types), or whose rows --rows changes or "
      + "--vocabulary resizes (default: the only tensor, or the token table, found by its usual names below "
      + "any prefix)"
  ).needing(type, rows, vocabulary)
  static let tensorName = Option(
    "tensor-name", .text("NAME"),
    "What the only array is called in OUT; needed from .npy to the others",
    otherwise: "token_embd.weight in a .gguf file")
  static let names = Option<EmbeddingNames?>(
    "names", .choice(knownNames),
    "Renames the tables of the input embedding: gpt2 has wte.weight, wpe.weight; bert "
      + "embeddings.word_embeddings.weight, .position_embeddings.weight, .token_type_embeddings.weight, "
      + ".LayerNorm.weight, .LayerNorm.bias; llama model.embed_tokens.weight; gguf token_embd.weight",
    otherwise: "all keep their names")
  static let knownNames: [(name: String, value: EmbeddingNames)] = [
    ("gpt2", .gpt2), ("bert", .bert), ("llama", .llama), ("gguf", .gguf),
  ]

  static let vocabulary = Option(
    "vocabulary", .integer(), "Rows of the token table: cut off at the end, or new ones added")
  static let newRows = Option<NewRows>(
    "new-rows",
    .choice([
      ("mean-and-covariance", .meanAndCovariance()), ("mean", .mean),
      ("normal", .drawn(.normal(sigma: 0.02))),
    ]),
    "New rows of tokens: drawn with the old rows' mean and 1e-9 of their covariance, the mean alone "
      + "(in float64), or normal(0, 0.02)", default: .meanAndCovariance()
  ).needing(vocabulary)
  static let seed = Option("seed", .seed, "Seed of new rows that are drawn", default: 0)
    .needing(vocabulary)
  static let maximumContext = Option(
    "maximum-context", .integer(),
    "Rows of the position table, or of the only tensor: stretched, row r taken at place "
      + "r * (old - 1) / (N - 1)")
  static let interpolation = Option<PositionInterpolation>(
    "interpolation", .cases,
    "Between rows: on the line, or on Keys' cubic with a = -1/2, where a row past either end lies on "
      + "the line of the last two", default: .linear
  ).needing(maximumContext)

  static let rotaryLayout = Option<RotaryLayout?>(
    "rotary-layout", .cases, "The layout to convert to")
  static let fromLayout = Option<RotaryLayout?>(
    "from-layout", .cases, "The layout of FILE",
    otherwise: "the one it records; needed where it records none"
  ).needing(rotaryLayout)
  static let headDim = Option(
    "head-dim", .integer("D"), "Rows of a head. Needed for --rotary-layout"
  ).needing(rotaryLayout)
  static let rotaryDim = Option(
    "rotary-dim", .integer("R"), "The rows of a head that are rotated, the first ones",
    otherwise: "all"
  ).needing(rotaryLayout)
  static let projections = Option(
    "projections", .list("ENDING,ENDING,..."),
    "How the names of the tensors end that are reordered", default: RotaryLayout.projectionNames
  ).needing(rotaryLayout)

  static let groups = [
    OptionGroup("Type and names", [type, rows, tensors, tensorName, names]),
    OptionGroup("Sizes", [vocabulary, newRows, seed, maximumContext, interpolation]),
    OptionGroup("Rotary layout", [rotaryLayout, fromLayout, headDim, rotaryDim, projections]),
    OptionGroup("Output", [output]),
  ]
  static let operandNames = ["FILE"]
  static let optionalOperandNames = ["OUT"]

  static func run(_ arguments: Arguments) throws {
    let source = arguments.operands[0]
    let second = arguments.operands.dropFirst().first
    if second != nil { try arguments.refuse([output], "does not fit here: OUT is given") }
    let target = try second ?? arguments.needed(output)
    guard let layout = try arguments[rotaryLayout] else {
      return try convert(source, target, arguments)
    }
    try arguments.refuse(
      groups[0].options + groups[1].options,
      "does not fit here: --\(rotaryLayout.name) goes alone")
    guard source.hasSuffix(".safetensors") else {
      throw CommandError.usage(
        "--\(rotaryLayout.name) is for a .safetensors file: convert '\(source)' to one first")
    }
    let dim = try arguments.needed(headDim, by: "--\(rotaryLayout.name)")
    let changed = try RotaryLayout.convertCheckpoint(
      source, from: arguments[fromLayout], to: layout, headDim: dim,
      rotaryDim: arguments[rotaryDim], endings: arguments[projections], into: target)
    Report.standardError.line(
      "convert: \(plural(changed.count, "tensor")) reordered to \(layout.rawValue), '\(target)'")
  }

  private static func convert(_ source: String, _ target: String, _ arguments: Arguments) throws {
    let file = try TensorFile(source)
    let output = try ConvertTarget(target)
    let plan = try ConvertPlan(arguments, file, into: output.format)
    try ConvertOutput(plan, file, output).write()
    Report.standardError.line(
      "convert: \(plural(plan.tensors.count, "tensor")), "
        + "\(grouped(plan.changes)) of them changed, '\(target)'")
  }
}
