// A rotary embedding from a model's `config.json` as Hugging Face writes it: `rope_parameters`, the
// older `rope_scaling` with `rope_theta` beside it, and dictionaries of them by layer type. What the
// file leaves out is its model type's (`RotaryModelTable`). A field that could change the rotation and
// isn't understood is an error that names it.

public import EmbedKernel

/// What a model's configuration says of its rotation.
public struct RotaryConfiguration: Sendable {
  /// The number of floats of the vector that the rotation is applied to. Where a model turns a part
  /// of its own of each head, such as the last 64 elements of 192, this is that part's width.
  public var headDim: Int
  /// The rotated elements of it.
  public var rotaryDim: Int
  /// The ratio of the longest to the shortest wavelength.
  public var base: Double
  /// How angles are set.
  public var scaling: any RotaryScaling
  /// Which elements form a pair.
  public var layout: RotaryLayout
  /// Which way the model turns: `.backward` for NanoChat, which turns by the negative angle.
  public var turn: RotaryDirection
  /// Which coordinate turns which pair; nil for one coordinate.
  public var axes: RotaryAxes?

  /// Reads `config.json`.
  ///
  /// The text part of a model with several is meant.
  ///
  /// - Parameters:
  ///   - json: The file's text.
  ///   - layerType: The kind of layer, such as `full_attention`, where the configuration has a
  ///     rotation for each.
  ///   - layout: Which elements form a pair; nil for the one of the model type.
  ///   - headDim: The head dim, where the file has none; else it must be the file's.
  /// - Throws: `invalidField`, which names the field that is missing, unknown or out of range, or the
  ///   model type that isn't known.
  public init(
    json: String, layerType: String? = nil, layout: RotaryLayout? = nil, headDim: Int? = nil
  ) throws(EmbedError) {
    try self.init(RotaryFile(json: json, layerType: layerType), layout, headDim)
  }

  private init(
    _ file: RotaryFile, _ layout: RotaryLayout?, _ given: Int?
  ) throws(EmbedError) {
    try file.checkRotates()
    var fields = try file.parameters()
    let name = try Self.type(&fields)
    let typeField = fields.object["rope_type"] == nil ? "type" : "rope_type"
    let scheme = try RotaryScalings.named(name, field: "\(fields.name).\(typeField)")
    // These names are this package's; a model's own code may mean another thing by them.
    if name.hasPrefix("ntk"), !file.model.type.isEmpty || file.isUnknown {
      throw fields.fault(typeField, "\"\(name)\"", "a scheme that transformers has")
    }
    base = try file.base(fields)
    let isLast = file.model.string("part") == "last"
    let dim = try file.headDim(isLast ? nil : given)
    rotaryDim = try file.rotaryDim(fields, scheme, headDim: dim)
    headDim = isLast ? rotaryDim : dim
    if isLast, let given, given != rotaryDim {
      throw .invalidField(
        field: "head dim given", found: "\(given)",
        expected: "\(rotaryDim); the model turns a part at the end of each head")
    }
    fields.geometry = RotaryGeometry(rotaryDim: rotaryDim, base: base)
    scaling = try Self.make(scheme, fields)
    axes = try file.axes(fields, name: name, pairs: rotaryDim / 2)
    self.layout = try file.layout(layout)
    turn = file.model.string("turn") == "backward" ? .backward : .forward
    try file.checkLayers(scaled: !(scaling is NoScaling), fields)
    try fields.checkUnderstood()
    try file.checkUnderstood(headDim: dim, rotaryDim: rotaryDim, base: base)
    try file.checkSynonyms(base: base, layout: layout == nil ? self.layout : nil)
  }

  /// The layer types that have a rotation of their own, in the file's order; empty where all layers
  /// share one.
  ///
  /// - Throws: `invalidField` where the text is not a JSON object.
  public static func layerTypes(json: String) throws(EmbedError) -> [String] {
    try RotaryFile(json: json, layerType: nil).rotatingLayerTypes()
  }

  // MARK: Parts

  private static func make<Scheme: PublishedScaling>(
    _ scheme: Scheme.Type, _ fields: RotaryFields
  ) throws(EmbedError) -> any RotaryScaling {
    try Scheme(fields)
  }

  private static func type(_ fields: inout RotaryFields) throws(EmbedError) -> String {
    for field in ["rope_type", "type"] {
      switch fields.object[field] {
      case .string(let text):
        // Some types call a scheme by a name of their own.
        if case .string(let usual) = fields.file.model.value("types")?[text] { return usual }
        return text
      case nil, .null: continue
      case .some(let value): throw fields.fault(field, value.summary, "a scheme's name")
      }
    }
    for field in ["factor", "alpha", "short_factor", "low_freq_factor"] {
      guard let value = fields.object[field], value != .null else { continue }
      throw fields.fault("rope_type", "missing", "a scheme's name beside \(field)")
    }
    return "default"
  }
}

extension RotaryEmbedding {
  /// Makes the embedding that a configuration describes.
  ///
  /// - Throws: `EmbedError` where the numbers do not fit each other.
  public convenience init(
    _ configuration: RotaryConfiguration, decay: XPosDecay? = nil, tableBytes: Int = 256 << 20
  ) throws(EmbedError) {
    try self.init(
      headDim: configuration.headDim, rotaryDim: configuration.rotaryDim,
      base: configuration.base, layout: configuration.layout, turn: configuration.turn,
      scaling: configuration.scaling, axes: configuration.axes, decay: decay,
      tableBytes: tableBytes)
  }
}
