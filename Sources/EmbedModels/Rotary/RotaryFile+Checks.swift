// The rule that nothing goes unread: fields that speak of rotation, by their names, and that neither
// the table nor the reader knows are errors, and so are fields that say another thing than is done.

internal import EmbedKernel

extension RotaryFile {
  /// Throws where the file says that its layers, or those that are meant, have no rotation at all.
  func checkRotates() throws(EmbedError) {
    if let reason = model.string("refused") {
      throw fault(
        "model_type", "\"\(model.type)\"",
        "a model type whose rotation is here; this one's is not: \(reason)")
    }
    if members["alibi"] == .bool(true) {
      throw fault("alibi", "true", "false; with ALiBi there is no rotation")
    }
    if case .object(let switches) = model.value("switch") {
      for item in switches {
        guard let value = members[item.key], value != .null, value != item.value else { continue }
        throw fault(
          item.key, value.summary, "\(item.value.summary); otherwise there is no rotation")
      }
    }
    guard let layerType else { return }
    let isStill = ["linear_attention", "mamba", "mamba2", "conv", "recurrent", "moe", "mlp"]
      .contains(layerType)
    let flags = model.strings("rotates").lazy.compactMap { members[$0] }.first
    var isOff = false
    if case .array(let values) = flags {
      let kinds = layerKinds
      let mine = zip(values, kinds).filter { $1 == layerType }.map { $0.0.double ?? 0 }
      isOff = !mine.isEmpty && mine.allSatisfy { $0 == 0 }
    }
    guard isStill || isOff else { return }
    throw .invalidField(
      field: "layer type", found: "\"\(layerType)\"",
      expected: "another one; layers of this type have no rotation")
  }

  /// Throws where a scheme holds for some layers only and the file doesn't say which are meant.
  func checkLayers(scaled: Bool, _ fields: RotaryFields) throws(EmbedError) {
    guard scaled, let field = model.string("scaled layers"),
      case .array(let layers) = members[field], let count = try length("num_hidden_layers")
    else { return }
    guard layers.count == count else {
      throw fault(
        field, "\(layers.count) of \(count) layers",
        "all layers: \(fields.name) holds for these alone")
    }
  }

  /// Throws for fields beside the scheme's that speak of rotation and are not understood, or that
  /// say another thing than what was read.
  func checkUnderstood(headDim: Int, rotaryDim: Int, base: Double) throws(EmbedError) {
    guard case .object(let fields) = members else { return }
    for name in model.strings("fixed") {
      guard let value = members[name], value != .null, let right = model.value(name)?.double else {
        continue
      }
      try check(JSONMember(key: name, value: value), is: right)
    }
    let spoken = model.spokenNames.union(Self.harmless)
    for field in fields where field.value != .null {
      let isRenamed = model.renames(field.key)
      guard isRenamed || !spoken.contains(field.key) else { continue }
      switch field.key {
      case "rope_theta" where isRenamed: try check(field, is: base)
      case "partial_rotary_factor" where isRenamed, _ where Self.factors.contains(field.key):
        try checkFactor(field, rotaryDim: rotaryDim, of: headDim)
      case _ where Self.read.contains(field.key) && !isRenamed: continue
      case _ where Self.headDims.contains(field.key): try check(field, is: Double(headDim))
      case _ where Self.rotaryDims.contains(field.key): try check(field, is: Double(rotaryDim))
      case _ where isRenamed || Self.speaksOfRotation(field.key):
        // What is switched off changes nothing, but for the rotation itself.
        if Self.switches.contains(field.key), field.value == .bool(true) { continue }
        if !Self.switches.contains(field.key), field.value == .bool(false) { continue }
        throw fault(
          field.key, field.value.summary,
          "nothing: the field is not understood\(forType)")
      default: continue
      }
    }
    if let value = members["attn_config"] {
      for name in ["rope", "rope_theta", "rope_impl", "rope_dail_config", "rope_hf_config"] {
        guard let inner = value[name], inner != .null, inner != .bool(false) else { continue }
        throw fault("attn_config.\(name)", inner.summary, "nothing: the field is not understood")
      }
    }
  }

  /// Throws for names that also say the base or the pairs, where they say another one.
  ///
  /// - Parameter layout: That of the model; nil where the caller chose one.
  func checkSynonyms(base: Double, layout: RotaryLayout?) throws(EmbedError) {
    let spoken = model.spokenNames
    for name in Self.bases where !spoken.contains(name) {
      guard let value = members[name], value != .null else { continue }
      try check(JSONMember(key: name, value: value), is: base)
    }
    for name in Self.interleaves where !spoken.contains(name) {
      guard let layout, let value = members[name], value != .null else { continue }
      let right = layout == .interleaved
      guard value == .bool(right) else {
        throw fault(name, value.summary, "\(right), as the pairs are")
      }
    }
  }

  /// What ends the error about a field that is not understood.
  var forType: String { model.type.isEmpty ? "" : " for model type \(model.type)" }

  private func checkFactor(
    _ field: JSONMember, rotaryDim: Int, of headDim: Int
  ) throws(EmbedError) {
    guard let value = field.value.double, value >= 0, value <= 1,
      Int(saturating: Double(headDim) * value) == rotaryDim
    else {
      throw fault(
        field.key, field.value.summary,
        "what gives \(rotaryDim) of \(headDim) elements, as the model type's fields do")
    }
  }

  private func check(_ field: JSONMember, is right: Double) throws(EmbedError) {
    guard field.value.double == right else {
      throw fault(
        field.key, field.value.summary,
        "\(JSONValue.number(right).shortSummary), as the other fields give")
    }
  }

  /// The layer types with a rotation of their own, in the file's order.
  func rotatingLayerTypes() -> [String] {
    if model.isSet("split") { return model.layers }
    for field in ["rope_scaling", "rope_parameters"] {
      let value = members[field] ?? (field == "rope_parameters" ? model.value(field) : nil)
      guard case .object(let members) = value else { continue }
      let layers = members.filter(isByLayer)
      let hasObject = layers.contains { if case .object = $0.value { true } else { false } }
      if hasObject { return layers.map(\.key) }
    }
    return []
  }

  // MARK: Names

  /// Fields that are read wherever they stand.
  private static let read: Set = [
    "rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor", "head_dim",
    "max_position_embeddings", "original_max_position_embeddings",
  ]
  /// Names of a head dim, of the rotated elements' number, of their part, of the base, and of pairs.
  private static let headDims: Set = [
    "kv_channels", "attention_head_dim", "attn_head_dim", "d_head", "head_size", "dim_head",
  ]
  private static let rotaryDims: Set = [
    "rotary_dim", "qk_rope_head_dim", "attn_rotary_emb", "rope_dim", "rotary_ndims",
  ]
  private static let factors: Set = [
    "rotary_pct", "rope_pct", "rotary_percent", "rotary_emb_fraction", "rope_percent",
  ]
  /// Whether there is a rotation.
  private static let switches: Set = [
    "rotary", "use_rope", "use_rotary", "use_rotary_emb", "use_rotary_embedding",
    "use_rotary_embeddings", "use_rotary_pos_emb",
  ]
  private static let bases: Set = [
    "rotary_emb_base", "rotary_base", "rope_base", "rotary_embedding_base", "rope_freq_base",
  ]
  private static let interleaves: Set = [
    "rope_interleave", "rope_interleaved", "rotary_emb_interleaved", "rotary_interleaved",
  ]

  /// Names that contain such words and say nothing of the rotation's angles or pairs: other heads'
  /// sizes, and which layers rotate.
  private static let harmless: Set = bases.union(interleaves).union([
    "cross_head_dim", "index_head_dim", "indexer_head_dim", "linear_head_dim",
    "linear_key_head_dim", "linear_value_head_dim", "mamba_head_dim", "no_rope_layer_interval",
    "no_rope_layers", "pad_head_dim_to_multiple_of", "q_head_dim", "qk_head_dim",
    "qk_nope_head_dim", "resampler_head_dim", "v_head_dim",
  ])

  /// Whether a field's name speaks of rotation or of a head's size.
  private static func speaksOfRotation(_ name: String) -> Bool {
    if name.contains("head_dim") || name.contains("kv_channels") { return true }
    let words = ["rope", "mrope", "xdrope", "rotary", "yarn", "longrope", "ntk"]
    return name.split(separator: "_").contains { part in
      words.contains { part.lowercased() == $0 || part.lowercased().hasPrefix($0) && $0 != "rope" }
        || part.lowercased() == "ropes"
    }
  }
}

extension JSONValue {
  /// A number without a needless point.
  fileprivate var shortSummary: String {
    if let number = double, let whole = Int(exactly: number) { "\(whole)" } else { summary }
  }
}
