// A row of the table of model types: what a type's configuration leaves unsaid, and how it calls
// what it says. `RotaryModelTable` has the rows, and the meaning of their entries.

internal import EmbedKernel

/// A model type as the table describes it, or a part of one (a kind of layer).
struct RotaryModel: Sendable {
  /// The model type; for a part, that of the whole.
  let type: String
  let row: JSONValue

  /// The row of files that name no model type.
  static let unnamed = RotaryModel(type: "", row: rows[""] ?? .object([]))

  /// The row of a model type, or nil.
  static func named(_ type: String) -> RotaryModel? {
    rows[type].map { RotaryModel(type: type, row: $0) }
  }

  private static let rows: [String: JSONValue] = {
    var rows: [String: JSONValue] = [:]
    for text in RotaryModelTable.texts {
      do throws(JSONError) {
        guard case .object(let members) = try JSONValue(parsing: "{\(text)\"-\": null}") else {
          continue
        }
        for member in members { rows[member.key] = member.value }
      } catch {
        preconditionFailure("the table of model types is not JSON: \(error)")
      }
    }
    return rows
  }()

  /// The row of the kind of layer `layerType`, where layers differ in more than `rope_parameters`.
  func layer(_ layerType: String?) -> RotaryModel? {
    guard let layerType, let part = row["layers"]?[layerType] else { return nil }
    return RotaryModel(type: type, row: part)
  }

  /// The kinds of layer with a row of their own.
  var layers: [String] { keys("layers") }

  /// The default of a field.
  func value(_ field: String) -> JSONValue? { row[field] }

  func string(_ entry: String) -> String? {
    if case .string(let text) = row[entry] { text } else { nil }
  }

  func isSet(_ entry: String) -> Bool { row[entry] == .bool(true) }

  /// The texts of an entry that is one or an array of them.
  func strings(_ entry: String) -> [String] { Self.strings(row[entry]) }

  /// What files call `field`: nil where it stands in no file, one name that replaces the usual one,
  /// or the usual one and others that mean the same.
  func names(_ field: String) -> [String]? {
    switch row["names"]?[field] {
    case .string(let name): return [name]
    case .null: return nil
    default: return [field] + Self.strings(row["also"]?[field])
    }
  }

  /// Whether the row gives `field` another name or none.
  func renames(_ field: String) -> Bool { row["names"]?[field] != nil }

  /// All names that the row and its layers speak of.
  var spokenNames: Set<String> {
    var names = Set(strings("ignored") + strings("rotates") + strings("thetas") + strings("rotary"))
    names.formUnion(strings("ratio"))
    for entry in ["names", "also"] {
      guard case .object(let members) = row[entry] else { continue }
      for member in members { names.formUnion(Self.strings(member.value)) }
    }
    for name in layers { names.formUnion(layer(name)?.spokenNames ?? []) }
    return names
  }

  private func keys(_ entry: String) -> [String] {
    guard case .object(let members) = row[entry] else { return [] }
    return members.map(\.key)
  }

  private static func strings(_ value: JSONValue?) -> [String] {
    switch value {
    case .string(let text): [text]
    case .array(let values):
      values.compactMap { if case .string(let text) = $0 { text } else { nil } }
    default: []
    }
  }
}
