// A `config.json` together with the row of its model type: fields by their usual names, wherever the
// file has them and whatever it calls them, and the type's own default where it leaves them out.

internal import EmbedKernel

/// The part of a configuration that speaks of one kind of layer.
struct RotaryFile: Sendable {
  /// The text part's members.
  let members: JSONValue
  /// The text part's place, such as `text_config.`, for errors.
  let prefix: String
  let model: RotaryModel
  /// The kind of layer meant, where the file has several.
  let layerType: String?
  /// What a model with several parts sets in the one that is meant, where the file leaves it out.
  let defaults: JSONValue
  /// Whether the file's model type is one that the table doesn't have.
  let isUnknown: Bool

  /// A value and what the file calls it.
  struct Found {
    let name: String
    let value: JSONValue
  }

  /// A field of the file, not counting null; the row's default where the file has none.
  func value(_ field: String) throws(EmbedError) -> JSONValue? {
    if let found = try stated(field) { return found.value == .null ? nil : found.value }
    let own = speaksByLayer(of: field) ? nil : model.layer(layerType)?.value(field)
    return [own, defaults[field], model.value(field)].lazy.compactMap { $0 }
      .first { $0 != .null }
  }

  /// A field of the file alone; null where it says so.
  func stated(_ field: String) throws(EmbedError) -> Found? {
    if let found = try layerValue(field) { return found }
    let part = speaksByLayer(of: field) ? nil : model.layer(layerType)
    if let part, part.renames(field) {
      guard let names = part.names(field) else { return nil }
      return try first(names)
    }
    guard let names = model.names(field) else { return nil }
    return try first(names)
  }

  /// The value under the first name that has one; several must agree.
  private func first(_ names: [String]) throws(EmbedError) -> Found? {
    let found = names.compactMap { name in
      members[name].map { Found(name: prefix + name, value: $0) }
    }
    let values = found.filter { $0.value != .null }
    guard let first = values.first else { return found.first }
    for other in values.dropFirst() where !Self.agree(other.value, first.value) {
      throw .invalidField(
        field: other.name, found: other.value.summary,
        expected: "what \(first.name) is, \(first.value.summary)")
    }
    return Found(name: first.name, value: try perLayer(first.name, first.value))
  }

  /// The error that a field of the file is not what it should be.
  func fault(_ field: String, _ found: String, _ expected: String) -> EmbedError {
    .invalidField(field: prefix + field, found: found, expected: expected)
  }

  /// Whether two values are the same number or the same otherwise.
  static func agree(_ a: JSONValue, _ b: JSONValue) -> Bool {
    if let a = a.double, let b = b.double { a == b } else { a == b }
  }

  /// A number above 0, with the name to give in errors.
  func length(_ field: String, limit: Int = Int(Int32.max)) throws(EmbedError) -> Int? {
    let name = try stated(field)?.name ?? prefix + field
    guard let value = try value(field) else { return nil }
    return try RotaryFields.length(name, value, limit: limit)
  }

  // MARK: Layers

  /// The kinds of layer, one a layer, as the file has them.
  var layerKinds: [String] {
    for name in model.names("layer_types") ?? [] {
      guard case .array(let kinds) = members[name] else { continue }
      return kinds.map { if case .string(let kind) = $0 { kind } else { "" } }
    }
    return []
  }

  /// All kinds of layer that the file or its model type has.
  var layerTypes: [String] {
    var types: [String] = []
    let kinds = layerKinds
    let defaults = kinds.isEmpty ? model.strings("layer_types") : []
    for type in kinds + defaults + model.layers where !types.contains(type) { types.append(type) }
    return types
  }

  /// Whether the file says layer by layer which heads differ, so that nothing else does.
  private func speaksByLayer(of field: String) -> Bool {
    guard case .object = members["per_layer_config"] else { return false }
    return field.contains("head")
  }

  /// A field that `per_layer_config` sets for the layers that are meant, which must agree.
  private func layerValue(_ field: String) throws(EmbedError) -> Found? {
    guard case .object(let layers) = members["per_layer_config"] else { return nil }
    let kinds = layerKinds
    var found: Found?
    var (with, without) = (0, 0)
    for (index, kind) in kinds.enumerated() where layerType == nil || kind == layerType {
      guard let value = layers.first(where: { Int($0.key) == index })?.value[field] else {
        without += 1
        continue
      }
      with += 1
      let name = "\(prefix)per_layer_config.\(index).\(field)"
      if let found, found.value != value {
        throw .invalidField(
          field: name, found: value.summary, expected: "that of \(found.name); layers differ")
      }
      found = Found(name: name, value: value)
    }
    if let found, without > 0 {
      throw .invalidField(
        field: found.name, found: found.value.summary,
        expected: "the same in all of these layers; \(without) of \(with + without) have it not")
    }
    if kinds.isEmpty, let entry = layers.first(where: { $0.value[field] != nil }) {
      throw fault(
        "per_layer_config.\(entry.key).\(field)", entry.value.summary,
        "layer_types beside it, to tell which layers are meant")
    }
    return found
  }

  /// The entry of an array with one number a layer; other values as they are.
  func perLayer(_ name: String, _ value: JSONValue) throws(EmbedError) -> JSONValue {
    guard case .array(let values) = value, !values.isEmpty, values.allSatisfy({ $0.double != nil })
    else { return value }
    let kinds = layerKinds
    guard kinds.isEmpty ? layerType == nil : values.count >= kinds.count else {
      throw .invalidField(
        field: name, found: value.summary, expected: "one number for each of layer_types")
    }
    // Numbers past the last layer are those of layers that predict further tokens.
    let mine =
      layerType == nil
      ? values : zip(values, kinds).compactMap { $1 == layerType ? $0 : nil }
    guard let first = mine.first, mine.allSatisfy({ Self.agree($0, first) }) else {
      throw .invalidField(
        field: name, found: "numbers that differ by layer",
        expected: layerType == nil
          ? "a layer type: one of \(layerTypes.joined(separator: ", "))"
          : "one number for all layers of type \(layerType ?? "")")
    }
    return first
  }
}
