// The options of `embed`, in the order of its help.

internal import EmbedKernel

extension Embed {
  // MARK: From a text

  static let text = Option("text", "FILE", "The text.")
  static let batch = Option("batch", "N", "Windows in a batch (default 8).")
  static let context = Option("context", "N", "Tokens in a window (default 4).")
  static let stride = Option(
    "stride", "N", "Tokens from one window's start to the next (default: the context).")
  static let batches = Option(
    "batches", "N",
    "Batches from the text's start, one after another in the output's first dimension (default 1).")
  static let dim = Option("dim", "N", "Floats in a vector (default 256).")
  static let seed = Option(
    "seed", "N", "Seed of the tables, normal(0, 0.02); same seed, same bits (default 0).")
  static let maximumContext = Option(
    "maximum-context", "N",
    "Rows of the position table (default: 1024, or what context and offset need).")

  // MARK: From arrays

  static let tokenIDs = Option("token-ids", "NPY", "Ids [batch, context], integers.")
  static let tokenTable = Option(
    "token-table", "NPY", "Token table [vocabulary, dim], float32, bfloat16 or float16.")
  static let positionTable = Option(
    "position-table", "NPY",
    "Position table [maximum context, dim], float32, bfloat16 or float16 (default: no positions are "
      + "added). Tables of two types are both widened to float32, which is exact.")

  // MARK: Positions

  enum Scheme: Sendable {
    case learned
    case sinusoidal
    case nothing
  }

  static let positions = ChoiceOption<Scheme>(
    "positions", [("learned", .learned), ("sinusoidal", .sinusoidal), ("none", .nothing)],
    "What is added (default learned; with arrays, the position table if there is one).")
  static let sinusoidLayout = ChoiceOption<SinusoidLayout>(
    "sinusoid-layout", SinusoidLayout.allCases.map { ($0.rawValue, $0) },
    "Order of sines and cosines (default interleaved).")
  static let sinusoidBase = Option(
    "sinusoid-base", "NUMBER", "Longest over shortest wavelength (default 10000).")
  static let positionOverflow = ChoiceOption<PositionOverflow>(
    "position-overflow", [("error", .error), ("clamp", .clamp)],
    "For a position past the table: stop, or take the last row (default error).")

  // MARK: Tokens

  static let scale = Option(
    "scale", "NUMBER|sqrt-dim", "Multiplies token rows before positions are added (default 1).")
  static let paddingID = Option("padding-id", "ID", "A token whose row counts as zero.")
  static let unknownIDs = ChoiceOption<UnknownIDs>(
    "unknown-ids", [("error", .error), ("clamp", .clamp), ("zero-row", .zeroRow)],
    "For an id outside the vocabulary: stop, take the nearest id, or a row of zeros "
      + "(default error).")

  static let output = Option(
    "output", "NPY",
    "Where the embeddings go [batch, context, dim]. The report then goes to standard error.")
  static let outputType = ChoiceOption<ElementType>(
    "output-type", ElementTypeNames.all,
    "Element type of the output. Sums are float32 whatever the tables' type, and are rounded once, "
      + "to nearest even; bfloat16 is written as NumPy's '<V2' (default float32).")

  static let textGroup = OptionGroup(
    "From a text",
    [
      text, TokenizerOptions.tokenizer.option, TokenizerOptions.vocabulary,
      TokenizerOptions.special.option, batch, context, stride, batches, dim, seed, maximumContext,
    ])

  static let arrayGroup = OptionGroup(
    "From arrays: \(ArrayFile.forms)", [tokenIDs, tokenTable, positionTable])

  /// The options that mean nothing where no positions are added.
  static let placeOptions = PlaceOptions.all + [positionOverflow.option, maximumContext]

  static let positionGroup = OptionGroup(
    "Positions",
    [positions.option, sinusoidLayout.option, sinusoidBase] + PlaceOptions.all
      + [positionOverflow.option])

  static let groups = [
    textGroup, arrayGroup, positionGroup,
    OptionGroup("Tokens", [scale, paddingID, unknownIDs.option]), FusedOptions.group,
    ComputeOptions.group, OptionGroup("Output", [output, outputType.option]),
  ]
}
