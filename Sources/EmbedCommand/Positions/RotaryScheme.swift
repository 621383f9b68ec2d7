// Rotary positions for the command: from a model's config.json, or from a base and a scaling.

internal import EmbedKernel
internal import EmbedModels

enum RotaryOptions {
  static let context = Option("context", .integer("T", in: 1...1 << 24), "Positions", default: 64)
  static let headDim = Option(
    "head-dim", .integer("D"), "Floats of a head's vector", otherwise: "64, or the configuration's")
  static let base = Option(
    "base", .number(above: 0), "Longest over shortest wavelength", default: 10_000)
  static let scaling = Option(
    "scaling", .text("JSON"),
    "As `rope_scaling` of a config.json, such as {\"type\":\"linear\",\"factor\":4}")
  static let config = Option(
    "config", .text("FILE.json"), "A model's config.json, instead of --base and --scaling")
  static let layerType = Option(
    "layer-type", .text("NAME"),
    "The kind of layer, where the configuration has a rotation for each")
  static let layout = Option<RotaryLayout?>(
    "layout", .cases, "Which elements form a pair", otherwise: "half, or the model type's")
  static let offset = Option(
    "position-offset", .integer(in: 0...Int(Int32.max)), "Position of the first token", default: 0)
  static let scaleBase = Option(
    "scale-base", .number(above: 0), "Distance over which xpos decays by its zeta", default: 512)
  static let role = Option<RotaryRole>(
    "role", .cases, "What xpos is applied to", default: .queries)

  static let group = OptionGroup(
    "Rotary", [headDim, base, scaling, config, layerType, layout, scaleBase])

  /// The embedding that the options describe.
  ///
  /// - Parameter decays: Whether it is xPos.
  static func embedding(
    _ arguments: Arguments, headDim given: Int? = nil, decays: Bool
  ) throws -> RotaryEmbedding {
    let decay = decays ? XPosDecay(scaleBase: try arguments[scaleBase]) : nil
    if !decays { try arguments.refuse([scaleBase, role], "is for scheme xpos") }
    let dim = try arguments[headDim] ?? given
    let (layout, layer) = (try arguments[layout], try arguments[layerType])
    if let path = try arguments[config] {
      try arguments.refuse([base, scaling], "does not fit here: --config has it")
      let text = try TextFile.read(path)
      return try naming(path) { () throws(EmbedError) in
        try RotaryEmbedding(
          RotaryConfiguration(json: text, layerType: layer, layout: layout, headDim: dim),
          decay: decay)
      }
    }
    let scale = try arguments[scaling] ?? "null"
    do throws(JSONError) {
      _ = try JSONValue(parsing: scale)
    } catch {
      throw CommandError.usage("option --scaling: not JSON: \(error)")
    }
    let json = "{\"rope_theta\": \(try arguments[base]), \"rope_scaling\": \(scale)}"
    return try RotaryEmbedding(
      RotaryConfiguration(json: json, layerType: layer, layout: layout, headDim: dim ?? 64),
      decay: decay)
  }
}

extension PositionScheme {
  static let rotary = rotary(
    "rotary", "angles, cosines and sines [3, T, D/2]; `rotate` applies them to queries or keys",
    decays: false)

  static let xpos = rotary(
    "xpos", "the same with the cosines and sines of queries, which grow with the position",
    decays: true)

  private static func rotary(_ name: String, _ summary: String, decays: Bool) -> PositionScheme {
    PositionScheme(
      name: name, summary: summary, array: { try array($0, decays: decays) },
      rotation: { arguments, headDim in
        try RotaryOptions.embedding(arguments, headDim: headDim, decays: decays)
      })
  }

  private static func array(_ arguments: Arguments, decays: Bool) throws -> SchemeArray {
    let context = try arguments[RotaryOptions.context]
    let offset = try arguments[RotaryOptions.offset]
    let embedding = try RotaryOptions.embedding(arguments, decays: decays)
    guard offset + context <= Int(Int32.max) + 1 else {
      throw EmbedError.contextTooLong(
        offset: offset, context: context, maximum: Int(Int32.max) + 1)
    }
    let scale = embedding.scaling.scale(length: offset + context)
    let angles = try embedding.frequencies(under: scale)
    // Three planes, what they are put together from, and both at once.
    let count = try elementCount("positions by pairs", context, angles.radians.count, 8)
    try SystemMemory.check(4 * count)
    for radians in angles.radians where !Float(Double(offset + context) * radians).isFinite {
      throw EmbedError.invalidValue(
        argument: "angle of a pair", value: Double(offset + context) * radians,
        expected: "a number that float32 holds, at all positions")
    }
    let rows = try embedding.rows(first: offset, count: context, under: scale)
    var values: [Float] = []
    values.reserveCapacity(3 * context * angles.radians.count)
    for t in 0..<context {
      for radians in angles.radians { values.append(Float(Double(offset + t) * radians)) }
    }
    return SchemeArray(
      shape: [3, context, angles.radians.count], values: values + rows.cosines + rows.sines,
      rows: "position", columns: "pair",
      planes: [
        .init(name: "angle", unit: "angle in radians"), .init(name: "cosine", unit: "cosine"),
        .init(name: "sine", unit: "sine"),
      ])
  }
}
