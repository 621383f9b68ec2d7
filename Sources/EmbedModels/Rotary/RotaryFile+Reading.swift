// From the file's text to its text part and the row of its model type.

internal import EmbedKernel

extension RotaryFile {
  /// Parses a configuration and finds the part that is meant.
  init(json: String, layerType: String?) throws(EmbedError) {
    let root = try Self.parse(json)
    let type = try Self.modelType(root, "")
    if let type, let row = RotaryModel.named(type), let path = row.string("text") {
      try self.init(part: path, of: root, row, layerType)
      return
    }
    guard type.flatMap({ RotaryModel.named($0) }) == nil,
      let (path, part) = try Self.textPart(root, type)
    else {
      self.init(root, "", type, .null, layerType)
      return
    }
    try self.init(part, path + ".", Self.modelType(part, path + "."), .null, layerType)
  }

  /// The part `path` of a model that the table knows by the whole's name.
  private init(
    part path: String, of root: JSONValue, _ row: RotaryModel, _ layerType: String?
  ) throws(EmbedError) {
    var part: JSONValue? = root
    for name in path.split(separator: ".") { part = part?[String(name)] }
    let usual = row.string("of") ?? ""
    guard let part, part != .null else {
      let isFlat = row.isSet("flat")
      self.init(
        isFlat ? root : .object([]), isFlat ? "" : path + ".", usual,
        row.value("defaults") ?? .null, layerType)
      if !isFlat { try Self.checkBeside(root, nil, path) }
      return
    }
    guard case .object = part else {
      throw .invalidField(field: path, found: part.summary, expected: "an object")
    }
    let type = try Self.modelType(part, path + ".") ?? usual
    // A row of the whole can stand in the part too, where the whole's file names both alike.
    let defaults = row.isSet("merged") ? row.value("defaults") : nil
    self.init(part, path + ".", type == row.type ? usual : type, defaults ?? .null, layerType)
    try Self.checkBeside(root, part, path)
  }

  private init(
    _ members: JSONValue, _ prefix: String, _ type: String?, _ defaults: JSONValue,
    _ layerType: String?
  ) {
    self.members = members
    self.prefix = prefix
    self.layerType = layerType
    self.defaults = defaults
    if let row = type.flatMap({ RotaryModel.named($0) }) {
      (model, isUnknown) = (row, false)
    } else {
      (model, isUnknown) = (RotaryModel.unnamed, type != nil)
    }
  }

  /// The text part of a file whose type the table has not: one object with the usual name, where the
  /// file's own level has no head.
  private static func textPart(
    _ root: JSONValue, _ type: String?
  ) throws(EmbedError) -> (String, JSONValue)? {
    for name in ["text_config", "llm_config", "language_config"] {
      guard let part = root[name], case .object = part else { continue }
      let known = try modelType(part, name + ".").flatMap { RotaryModel.named($0) } != nil
      let hasHead = root["hidden_size"] != nil || root["head_dim"] != nil
      if known && type != nil || !hasHead { return (name, part) }
    }
    return nil
  }

  /// Fields beside a text part say the same as the part does, or go unused.
  private static func checkBeside(
    _ root: JSONValue, _ part: JSONValue?, _ path: String
  ) throws(EmbedError) {
    let fields = ["rope_theta", "rope_scaling", "rope_parameters", "partial_rotary_factor"]
    for field in fields {
      guard let value = root[field], value != .null else { continue }
      if let inside = part?[field], agree(inside, value) { continue }
      throw .invalidField(
        field: field, found: value.summary,
        expected: "nothing, or what \(path).\(field) is: the model reads that one")
    }
  }

  private static func modelType(
    _ members: JSONValue, _ prefix: String
  ) throws(EmbedError) -> String? {
    switch members["model_type"] {
    case nil, .null, .string(""): return nil
    case .string(let type): return type
    case .some(let value):
      throw .invalidField(
        field: prefix + "model_type", found: value.summary, expected: "a model type's name")
    }
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
}
