// What `embed` and `backward` are told of a layer: its ids, what scales its rows, and its positions.

internal import EmbedKernel

enum LayerOptions {
  enum Scheme: String, CaseIterable, Sendable {
    case learned
    case sinusoidal
    case nothing = "none"
  }

  static let tokenIDs = Option(
    "token-ids", .array, "Ids [batch, context], integers")
  static let scale = Option<EmbeddingScale>(
    "scale", .scale, "Multiplies token rows before positions are added", default: .one)
  static let paddingID = Option(
    "padding-id", .integer("ID", in: 0...Int.max), "A token whose row counts as zero")
  static let unknownIDs = Option<UnknownIDs>(
    "unknown-ids", .choice([("error", .error), ("clamp", .clamp), ("zero-row", .zeroRow)]),
    "For an id outside the vocabulary: stop, take the nearest id, or a row of zeros",
    default: .error)

  static let positions = Option<Scheme?>(
    "positions", .cases, "What is added",
    otherwise: "learned; with arrays, the position table if there is one")
  static let sinusoidLayout = Option<SinusoidLayout>(
    "sinusoid-layout", .cases, "Order of sines and cosines", default: .interleaved)
  static let sinusoidBase = Option(
    "sinusoid-base", .number(above: 0), "Longest over shortest wavelength", default: 10_000)
}

extension OptionKind where Value == EmbeddingScale {
  static var scale: Self {
    Self("NUMBER|sqrt-dim", show: { _ in "1" }) { text throws(OptionFault) in
      text == "sqrt-dim" ? .sqrtDim : .value(try OptionKind<Float>.float().parse(text))
    }
  }
}

/// What those options say.
struct LayerSettings {
  let scale: EmbeddingScale
  let paddingID: Int?
  let unknownIDs: UnknownIDs
  let overflow: PositionOverflow
  let layout: SinusoidLayout
  let base: Double
  let scheme: LayerOptions.Scheme?
  let offset: Int

  init(_ arguments: Arguments) throws(CommandError) {
    scale = try arguments[LayerOptions.scale]
    paddingID = try arguments[LayerOptions.paddingID]
    unknownIDs = try arguments[LayerOptions.unknownIDs]
    overflow = try arguments[PlaceOptions.overflow]
    layout = try arguments[LayerOptions.sinusoidLayout]
    base = try arguments[LayerOptions.sinusoidBase]
    scheme = try arguments[LayerOptions.positions]
    offset = try arguments[PlaceOptions.offset]
    if scheme != .sinusoidal {
      try arguments.refuse(
        [LayerOptions.sinusoidLayout, LayerOptions.sinusoidBase], "is for --positions sinusoidal")
    }
    try PlaceOptions.check(arguments)
  }

  /// Of a call on rows of `dim` elements.
  func options(dim: Int) -> EmbedOptions {
    EmbedOptions(
      scale: scale.factor(dim: dim), unknownIDs: unknownIDs, positionOverflow: overflow)
  }

  /// The layer of these tables.
  func layer(
    _ tokens: TokenEmbedding, _ positions: EmbeddingTable<Float>?
  ) throws(EmbedError) -> InputEmbedding {
    try InputEmbedding(
      tokens: tokens, positions: positions, positionsAreTrained: scheme != .sinusoidal,
      scale: scale, unknownIDs: unknownIDs, positionOverflow: overflow)
  }

  /// The token table of a file as the layer has it: its padding row is zero.
  func tokens(_ path: String, _ table: EmbeddingTable<Float>) throws(CommandError) -> TokenEmbedding
  {
    let tokens = try naming(path) { () throws(EmbedError) in
      try TokenEmbedding(table: table, paddingID: paddingID)
    }
    tokens.clearPaddingRow()
    return tokens
  }

  /// The rows that a table of positions needs at least, before any file says otherwise.
  func rows(context: Int, _ given: Int?) throws(CommandError) -> Int {
    if let given { return given }
    return max(1024, try PlaceOptions.end(offset, context))
  }
}
