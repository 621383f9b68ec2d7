// A rotary embedding from a model's `config.json` as Hugging Face writes it: `rope_parameters`, the
// older `rope_scaling` with `rope_theta` beside it, and dictionaries of them by layer type.

/// What a model's configuration says of its rotation.
public struct RotaryConfiguration: Sendable {
  /// The number of floats of a head's vector.
  public var headDim: Int
  /// The rotated elements of it.
  public var rotaryDim: Int
  /// The ratio of the longest to the shortest wavelength.
  public var base: Double
  /// How angles are set.
  public var scaling: any RotaryScaling
  /// Which elements form a pair.
  public var layout: RotaryLayout
  /// Which coordinate turns which pair; nil for one coordinate.
  public var axes: RotaryAxes?

  /// Reads `config.json`.
  ///
  /// The text part of a model with several is meant; `rope_theta` is 10,000 where nothing is said.
  ///
  /// - Parameters:
  ///   - json: The file's text.
  ///   - layerType: The kind of layer, such as `full_attention`, where the configuration has a
  ///     rotation for each.
  ///   - layout: Which elements form a pair; nil for the one of the model type.
  ///   - headDim: The head dim; nil for the configuration's.
  /// - Throws: `invalidField`, which names the field that is missing, unknown or out of range.
  public init(
    json: String, layerType: String? = nil, layout: RotaryLayout? = nil, headDim: Int? = nil
  ) throws(EmbedError) {
    let root = try Self.parse(json)
    let isText = root["hidden_size"] == nil && root["head_dim"] == nil
    let configuration = isText ? root["text_config"] ?? root : root
    try self.init(configuration, layerType, layout, headDim)
  }

  private init(
    _ configuration: JSONValue, _ layerType: String?, _ layout: RotaryLayout?, _ headDim: Int?
  ) throws(EmbedError) {
    var fields = try Self.fields(configuration, layerType)
    let typeField = fields.object["rope_type"] == nil ? "type" : "rope_type"
    var name = "default"
    switch fields.object[typeField] {
    case .string(let text): name = text
    case nil, .null: break
    case .some(let value): throw fields.fault(typeField, value.summary, "a scheme's name")
    }
    let scheme = try RotaryScalings.named(name, field: "\(fields.name).\(typeField)")
    base = try Self.base(fields, layerType)
    let dim: Int
    if let headDim { dim = headDim } else { dim = try Self.headDim(configuration, layerType) }
    rotaryDim =
      scheme.keepsWholeHead ? dim : try Self.rotaryDim(fields, configuration, headDim: dim)
    self.headDim = dim
    fields.geometry = RotaryGeometry(rotaryDim: rotaryDim, base: base)
    scaling = try Self.make(scheme, fields)
    axes = try Self.axes(fields, isAxial: name == "axial", pairs: rotaryDim / 2)
    self.layout = layout ?? Self.layout(configuration)
  }

  /// The layer types that have a rotation of their own, in the file's order; empty where all layers
  /// share one.
  ///
  /// - Throws: `invalidField` where the text is not a JSON object.
  public static func layerTypes(json: String) throws(EmbedError) -> [String] {
    let root = try parse(json)
    let configuration = root["hidden_size"] == nil ? root["text_config"] ?? root : root
    return layerTypes(configuration["rope_parameters"] ?? configuration["rope_scaling"] ?? .null)
  }

  // MARK: Parts

  private static func make<Scheme: RotaryScaling>(
    _ scheme: Scheme.Type, _ fields: RotaryFields
  ) throws(EmbedError) -> any RotaryScaling {
    try Scheme(fields)
  }

  private static func parse(_ json: String) throws(EmbedError) -> JSONValue {
    let root: JSONValue
    do throws(JSONError) {
      root = try JSONValue(parsing: json)
    } catch {
      throw .invalidField(
        field: "(whole text)", found: "not JSON at byte \(error.offset)", expected: error.expected)
    }
    guard case .object = root else {
      throw .invalidField(field: "(whole text)", found: root.summary, expected: "an object")
    }
    return root
  }

  /// A dictionary by layer type has nothing but objects in it, or null for layers without rotation.
  private static func layerTypes(_ value: JSONValue) -> [String] {
    guard case .object(let members) = value, !members.isEmpty else { return [] }
    for member in members {
      switch member.value {
      case .object, .null: continue
      default: return []
      }
    }
    return members.contains { if case .object = $0.value { true } else { false } }
      ? members.map(\.key) : []
  }

  private static func fields(
    _ configuration: JSONValue, _ layerType: String?
  ) throws(EmbedError) -> RotaryFields {
    let names = ["rope_parameters", "rope_scaling"]
    let present = names.filter { configuration[$0] != nil && configuration[$0] != .null }
    let name = present.first ?? names[0]
    let value = configuration[name] ?? .null
    let types = layerTypes(value)
    guard types.isEmpty else {
      let expected = "a layer type: one of " + types.joined(separator: ", ")
      guard let layerType else {
        throw .invalidField(field: name, found: "an object by layer type", expected: expected)
      }
      guard let object = value[layerType] else {
        throw .invalidField(field: "\(name).\(layerType)", found: "missing", expected: expected)
      }
      guard case .object = object else {
        throw .invalidField(
          field: "\(name).\(layerType)", found: "null",
          expected: "an object; layers of this type have no rotation")
      }
      return RotaryFields(
        name: "\(name).\(layerType)", object: object, configuration: configuration)
    }
    // Gemma 3's local layers have a base of their own and no scaling.
    if layerType == "sliding_attention", configuration["rope_local_base_freq"] != nil {
      return RotaryFields(name: name, object: .object([]), configuration: configuration)
    }
    switch value {
    case .null: return RotaryFields(name: name, object: .object([]), configuration: configuration)
    case .object:
      return RotaryFields(name: name, object: value, configuration: configuration)
    default: throw .invalidField(field: name, found: value.summary, expected: "an object or null")
    }
  }

  private static func base(
    _ fields: RotaryFields, _ layerType: String?
  ) throws(EmbedError) -> Double {
    if fields.object["rope_theta"] != nil, !fields.isNull("rope_theta") {
      return try fields.positive("rope_theta")
    }
    var names = ["rope_theta", "rotary_emb_base"]
    if layerType == "sliding_attention" { names.insert("rope_local_base_freq", at: 0) }
    for name in names {
      guard let value = fields.configuration[name], value != .null else { continue }
      guard let base = value.double, base.isFinite, base > 0 else {
        throw .invalidField(field: name, found: value.summary, expected: "a finite number above 0")
      }
      return base
    }
    return 10_000
  }

  private static func headDim(
    _ configuration: JSONValue, _ layerType: String?
  ) throws(EmbedError) -> Int {
    var names = ["qk_rope_head_dim", "head_dim"]
    // Gemma 4's global layers have larger heads.
    if layerType == "full_attention" { names.insert("global_head_dim", at: 0) }
    var dim: Int?
    var field = "head_dim"
    for name in names where dim == nil {
      guard let value = configuration[name], value != .null else { continue }
      dim = try RotaryFields.length(name, value)
      field = name
    }
    if dim == nil {
      let hidden = try RotaryFields.length(
        "hidden_size", configuration["hidden_size"] ?? configuration["n_embd"])
      let heads = try RotaryFields.length(
        "num_attention_heads", configuration["num_attention_heads"] ?? configuration["n_head"])
      field = "hidden_size / num_attention_heads"
      dim = hidden / heads
    }
    guard let dim, dim > 0, dim.isMultiple(of: 2) else {
      throw .invalidField(field: field, found: "\(dim ?? 0)", expected: "an even head dim")
    }
    return dim
  }

  private static func rotaryDim(
    _ fields: RotaryFields, _ configuration: JSONValue, headDim: Int
  ) throws(EmbedError) -> Int {
    var field = "\(fields.name).partial_rotary_factor"
    var dim = Int(saturating: Double(headDim) * (try fields.partialRotaryFactor()))
    if let value = configuration["rotary_dim"], value != .null {
      field = "rotary_dim"
      dim = try RotaryFields.length(field, value)
    }
    guard dim > 0, dim <= headDim, dim.isMultiple(of: 2) else {
      throw .invalidField(
        field: field, found: "\(dim) rotated elements",
        expected: "an even number of at most the head dim, \(headDim)")
    }
    return dim
  }

  private static func axes(
    _ fields: RotaryFields, isAxial: Bool, pairs: Int
  ) throws(EmbedError) -> RotaryAxes? {
    if isAxial { return .axial(count: 2) }
    guard let sections = try fields.counts("mrope_section") else { return nil }
    guard sections.reduce(0, { $0.addingReportingOverflow($1).partialValue }) == pairs else {
      throw fields.fault("mrope_section", "\(sections)", "sections that add up to \(pairs) pairs")
    }
    let isInterleaved = try fields.bool("mrope_interleaved") ?? false
    return isInterleaved ? .interleavedSections(sections) : .sections(sections)
  }

  /// The layout that a model type's published weights have.
  private static func layout(_ configuration: JSONValue) -> RotaryLayout {
    if case .bool(let isInterleaved) = configuration["rope_interleave"] {
      return isInterleaved ? .interleaved : .half
    }
    guard case .string(let type) = configuration["model_type"] else { return .half }
    return interleavedModelTypes.contains(type) ? .interleaved : .half
  }

  private static let interleavedModelTypes: Set = [
    "chatglm", "codegen", "cohere", "cohere2", "cohere2_moe", "deepseek_v2", "deepseek_v3",
    "deepseek_v32", "ernie4_5", "ernie4_5_moe", "ernie4_5_vl_moe_text", "glm", "glm4",
    "glm4_moe_lite", "glm4v", "glm4v_text", "glm_moe_dsa", "gptj", "helium", "llama4",
    "llama4_text", "longcat_flash", "mistral4", "mistral_large4", "mistral_large4_text",
    "moonshine",
  ]
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
      base: configuration.base, layout: configuration.layout, scaling: configuration.scaling,
      axes: configuration.axes, decay: decay, tableBytes: tableBytes)
  }
}
