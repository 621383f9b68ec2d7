// Which object of a configuration holds the rotation of a kind of layer: `rope_parameters`, the older
// `rope_scaling`, one of either by layer type, or the model type's own. Which one counts, and what
// fills its gaps, is as in transformers 5.24.

internal import EmbedKernel

extension RotaryFile {
  /// The scheme's fields for the kind of layer that is meant.
  func parameters() throws(EmbedError) -> RotaryFields {
    if let only = model.string("only") {
      for field in ["rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor"]
      where field != only {
        guard let found = members[field], found != .null else { continue }
        throw fault(field, found.summary, "nothing: model type \(model.type) takes \(only) alone")
      }
    }
    for field in model.strings("unread") {
      guard let found = members[field], found != .null else { continue }
      throw fault(
        field, found.summary, "nothing: the code of model type \(model.type) doesn't read it")
    }
    return model.isSet("split") ? try splitParameters() : try sharedParameters()
  }

  /// Those of a type whose kinds of layer always have a rotation each.
  private func splitParameters() throws(EmbedError) -> RotaryFields {
    let part = try layerPart()
    let written = try object("rope_parameters")
    var scaling = try object("rope_scaling")
    let layers = written.filter { isByLayer($0) && model.layers.contains($0.key) }
    if layers.isEmpty, !written.isEmpty {
      guard model.isSet("flat") else {
        throw fault(
          "rope_parameters", "one object for all layers",
          "an object for each of \(model.layers.joined(separator: ", "))")
      }
      scaling = written
    }
    scaling.removeAll { part.strings("unset").contains($0.key) }
    var members = layers.first { $0.key == layerType }.map { Self.members($0.value) } ?? []
    var name = "rope_parameters.\(layerType ?? "")"
    if part.isSet("scaled"), !scaling.isEmpty {
      if !model.isSet("flat") { try checkTypeName(scaling, "rope_scaling") }
      if layers.isEmpty { name = written.isEmpty ? "rope_scaling" : "rope_parameters" }
      members = scaling + members.filter { member in !scaling.contains { $0.key == member.key } }
      if let yarn = part.value("yarn"), Self.type(members) == "yarn" {
        members += Self.members(yarn).filter { member in
          !members.contains { $0.key == member.key }
        }
      }
    }
    if model.isSet("rope_type alone") { try checkTypeName(members, name) }
    // A scheme without a base takes the one that other layers have.
    let isGiven = !members.isEmpty || layers.contains { $0.key == layerType }
    if isGiven, let other = part.string(layers.isEmpty ? "scheme's base" : "nested base"),
      !members.contains(where: { $0.key == "rope_theta" && $0.value != .null }),
      let base = self.members["rope_theta"] ?? model.layer(other)?.value("rope_theta")
    {
      members.removeAll { $0.key == "rope_theta" }
      members.append(JSONMember(key: "rope_theta", value: base))
    }
    let outer = layers.isEmpty ? [] : written.filter { !isByLayer($0) }
    return try fields(name, members, isByLayer: true, outer: outer)
  }

  /// Throws for a scheme under its older name, where the model type's code passes over that.
  private func checkTypeName(_ members: [JSONMember], _ name: String) throws(EmbedError) {
    let isNamed = members.contains { $0.key == "rope_type" && $0.value != .null }
    guard !isNamed, let old = members.first(where: { $0.key == "type" }), old.value != .null,
      old.value != .string("default")
    else { return }
    throw fault(
      "\(name).type", old.value.summary,
      "rope_type in its place: the code of model type \(model.type) reads that one")
  }

  /// Those of a type whose layers may share one rotation.
  private func sharedParameters() throws(EmbedError) -> RotaryFields {
    let (scaling, parameters) = (try object("rope_scaling"), try object("rope_parameters"))
    var (name, members) = ("rope_scaling", scaling)
    if scaling.isEmpty { (name, members) = ("rope_parameters", parameters) }
    if members.isEmpty, case .object(let own) = model.value("rope_parameters") {
      members = own
      try checkBase(beside: own)
    }
    let layers = members.filter(isByLayer)
    guard layers.contains(where: { if case .object = $0.value { true } else { false } }) else {
      try checkLayerType(among: layerTypes)
      return try fields(name, members, isByLayer: false, outer: [])
    }
    let types = layers.map(\.key)
    let expected = "a layer type: one of " + types.joined(separator: ", ")
    guard let layerType else {
      throw untold(layers: types, name: scaling.isEmpty && parameters.isEmpty ? nil : name)
    }
    guard let mine = layers.first(where: { $0.key == layerType }) else {
      throw fault("\(name).\(layerType)", "missing", expected)
    }
    guard case .object(let own) = mine.value else {
      throw fault("\(name).\(layerType)", "null", "an object; layers of this type have no rotation")
    }
    return try fields(
      "\(name).\(layerType)", own, isByLayer: true, outer: members.filter { !isByLayer($0) })
  }

  /// A type's own parameters come with their base: another one beside them would go unused.
  private func checkBase(beside members: [JSONMember]) throws(EmbedError) {
    guard let found = try stated("rope_theta"), found.value != .null else { return }
    let objects = [members] + members.map { Self.members($0.value) }
    for case let base? in objects.map({ object in object.first { $0.key == "rope_theta" } }) {
      guard Self.agree(base.value, found.value) else {
        throw .invalidField(
          field: found.name, found: found.value.summary,
          expected: "\(base.value.summary), or rope_parameters beside it: "
            + "those of model type \(model.type) have a base of their own")
      }
    }
  }

  private func layerPart() throws(EmbedError) -> RotaryModel {
    let kinds = layerKinds
    let present = model.layers.filter { kinds.contains($0) }
    let types = present.isEmpty ? model.layers : present
    guard let layerType else {
      let written = try object("rope_parameters").contains(where: isByLayer)
      throw untold(layers: types, name: written ? "rope_parameters" : nil)
    }
    try checkLayerType(among: types)
    guard let part = model.layer(layerType) else { return model }
    return part
  }

  /// The error that nothing says which layers are meant.
  ///
  /// - Parameter name: The file's object by layer type; nil where the layers are the model type's own.
  private func untold(layers: [String], name: String?) -> EmbedError {
    let expected = "one of \(layers.joined(separator: ", "))"
    guard let name else {
      return .invalidField(
        field: "layer type", found: "missing",
        expected: "\(expected); those of model type \(model.type) have a rotation each")
    }
    return fault(name, "an object by layer type", "a layer type: \(expected)")
  }

  private func checkLayerType(among types: [String]) throws(EmbedError) {
    guard let layerType, !types.contains(layerType) else { return }
    throw .invalidField(
      field: "layer type", found: "\"\(layerType)\"",
      expected: types.isEmpty
        ? "none: the file has no layer types" : "one of " + types.joined(separator: ", "))
  }

  private func fields(
    _ name: String, _ members: [JSONMember], isByLayer: Bool, outer: [JSONMember]
  ) throws(EmbedError) -> RotaryFields {
    var members = members
    if isByLayer {
      // Transformers reads this one beside the objects by layer type.
      let beside = outer.first { $0.key == "truncate" }
      if let inside = members.first(where: { $0.key == "truncate" }), inside.value != .bool(true),
        inside.value != .null, inside.value != beside?.value
      {
        throw fault(
          "\(name).truncate", inside.value.summary,
          "nothing: it is read beside the objects by layer type")
      }
      members.removeAll { $0.key == "truncate" }
      if let beside { members.append(beside) }
    }
    return RotaryFields(
      name: prefix + name, object: .object(members), file: self, isByLayer: isByLayer)
  }

  /// The scheme's name in some members; transformers' default where there is none.
  static func type(_ members: [JSONMember]) -> String {
    for name in ["rope_type", "type"] {
      guard case .string(let text) = members.first(where: { $0.key == name })?.value else {
        continue
      }
      return text
    }
    return "default"
  }

  private func object(_ field: String) throws(EmbedError) -> [JSONMember] {
    switch members[field] {
    case nil, .null: return []
    case .object(let members): return members
    case .some(let value):
      throw fault(field, value.summary, "an object or null")
    }
  }

  /// Whether a member is a layer type's object, or null for layers without rotation.
  func isByLayer(_ member: JSONMember) -> Bool {
    switch member.value {
    case .object: true
    case .null: !RotaryFields.published.contains(member.key)
    default: false
    }
  }

  private static func members(_ value: JSONValue) -> [JSONMember] {
    if case .object(let members) = value { members } else { [] }
  }
}
