// The options of `embed`, in the order of its help.

internal import EmbedKernel

extension Embed {
  static let text = Option("text", .text("FILE"), "The text")
  static let batch = Option("batch", .integer(), "Windows in a batch", default: 8)
  static let context = Option("context", .integer(), "Tokens in a window", default: 4)
  static let stride = Option(
    "stride", .integer(), "Tokens from one window's start to the next", otherwise: "the context")
  static let batches = Option(
    "batches", .integer(),
    "Batches from the text's start, one after another in the output's first dimension", default: 1)
  static let dim = Option("dim", .integer(), "Floats in a vector", default: 256)
  static let seed = Option(
    "seed", .seed, "Seed of the tables, normal(0, 0.02); same seed, same bits", default: 0)
  static let maximumContext = Option(
    "maximum-context", .integer(), "Rows of the position table",
    otherwise: "1024, or what context and offset need")

  static let tokenTable = Option("token-table", .array, tokenTableForms)
  /// What a token table may be.
  static let tokenTableForms =
    "Token table [vocabulary, dim]: float32, bfloat16 or float16; int8 or fp8 with scales beside it, as "
    + "safetensors models have them; or GGUF's Q8_0, Q4_0, Q4_K or Q6_K. Of a model's file without a name "
    + "the token table is taken, found by its usual names. Rows are decoded as they are read"
  static let positionTable = Option(
    "position-table", .array,
    "Position table [maximum context, dim], float32, bfloat16 or float16. Tables of two types are both "
      + "widened to float32, which is exact", otherwise: "no positions are added")

  static let output = Option(
    "output", .array,
    "Where the embeddings go [batch, context, dim]. The report then goes to standard error")
  static let outputType = Option<ElementType>(
    "output-type", .elementType,
    "Element type of the output. Sums are float32 whatever the tables' type, and are rounded once, "
      + "to nearest even; bfloat16 is written as NumPy's '<V2'", default: .float32)

  static let textGroup = OptionGroup(
    "From a text",
    [
      text, TokenizerOptions.tokenizer, TokenizerOptions.vocabulary, TokenizerOptions.special,
      batch, context, stride, batches, dim, seed, maximumContext,
    ])
  static let arrayGroup = OptionGroup(
    "From arrays: \(ArrayFile.forms)",
    [
      LayerOptions.tokenIDs, tokenTable, RowOptions.rows, RowOptions.rowScales, RowOptions.resident,
      positionTable,
    ])

  /// The options that mean nothing where no positions are added.
  static let placeOptions = PlaceOptions.withOverflow + [maximumContext]

  static let groups = [
    textGroup, arrayGroup,
    OptionGroup(
      "Positions",
      [LayerOptions.positions, LayerOptions.sinusoidLayout, LayerOptions.sinusoidBase]
        + PlaceOptions.withOverflow),
    OptionGroup(
      "Tokens", [LayerOptions.scale, LayerOptions.paddingID, LayerOptions.unknownIDs]),
    FusedOptions.group, ComputeOptions.group, OptionGroup("Output", [output, outputType]),
  ]
}
