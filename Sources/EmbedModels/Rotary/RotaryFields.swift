// The rotary fields of a model's configuration, with errors that name the field: what each scaling
// scheme reads its numbers from. It keeps which fields were asked for: what nobody asked for, and is
// none of the published names, isn't understood.

public import EmbedKernel

/// The fields of one `rope_parameters` or `rope_scaling` object, and those beside it in the
/// configuration that it falls back on.
public struct RotaryFields: Sendable {
  /// Rotated elements and base, read already.
  public internal(set) var geometry = RotaryGeometry(rotaryDim: 2, base: 1)

  /// The object's name in the configuration, for errors.
  let name: String
  /// The scheme's own object; `.null` where the configuration has none.
  let object: JSONValue
  /// The configuration around it.
  let file: RotaryFile
  /// Whether the object is one of several by layer type.
  let isByLayer: Bool

  private let asked = Asked()

  init(name: String, object: JSONValue, file: RotaryFile, isByLayer: Bool) {
    self.name = name
    self.object = object
    self.file = file
    self.isByLayer = isByLayer
  }

  /// The names that transformers publishes for these objects; a scheme passes over those of others.
  static let published: Set = [
    "attention_factor", "beta_fast", "beta_slow", "factor", "high_freq_factor", "long_factor",
    "low_freq_factor", "mrope_interleaved", "mrope_section", "mscale", "mscale_all_dim",
    "original_max_position_embeddings", "partial_rotary_factor", "rope_theta", "rope_type",
    "short_factor", "truncate", "type",
  ]

  /// Throws for a field that nobody asked for and that has no published meaning.
  func checkUnderstood() throws(EmbedError) {
    guard case .object(let members) = object else { return }
    let known = Self.published.union(file.model.strings("keys")).union(asked.names)
    for member in members where member.value != .null && !known.contains(member.key) {
      throw fault(
        member.key, member.value.summary,
        "nothing: the field is not understood\(file.forType)")
    }
  }

  /// Whether the model type's own code reads a field that other types don't have.
  func isOwn(_ field: String) -> Bool {
    file.model.strings("keys").contains(field) && !isNull(field) && object[field] != nil
  }

  private func value(_ field: String) -> JSONValue? {
    asked.insert(field)
    return object[field]
  }

  /// The error that a field is not what it should be.
  public func fault(_ field: String, _ found: String, _ expected: String) -> EmbedError {
    .invalidField(field: "\(name).\(field)", found: found, expected: expected)
  }

  /// Whether the field is there and null.
  public func isNull(_ field: String) -> Bool { object[field] == .null }

  /// A number, or nil where the field is missing or null. It may be of any value.
  public func number(_ field: String) throws(EmbedError) -> Double? {
    guard let value = value(field), value != .null else { return nil }
    guard let number = value.double else { throw fault(field, value.summary, "a number") }
    return number
  }

  /// A finite number above 0.
  public func positive(_ field: String) throws(EmbedError) -> Double {
    guard let number = try number(field) else {
      throw fault(field, isNull(field) ? "null" : "missing", "a number above 0")
    }
    guard number.isFinite, number > 0 else {
      throw fault(field, "\(number)", "a finite number above 0")
    }
    return number
  }

  /// A finite number of 0 or more, or nil where the field is missing or null.
  public func notNegative(_ field: String) throws(EmbedError) -> Double? {
    guard let number = try number(field) else { return nil }
    guard number.isFinite, number >= 0 else {
      throw fault(field, "\(number)", "a finite number, 0 or more")
    }
    return number
  }

  /// `count` finite numbers above 0.
  public func positives(_ field: String, count: Int) throws(EmbedError) -> [Double] {
    guard let value = value(field) else {
      throw fault(field, "missing", "\(count) numbers, one a pair")
    }
    guard case .array(let values) = value, values.count == count else {
      throw fault(field, value.summary, "an array of \(count) numbers, one a pair")
    }
    var numbers: [Double] = []
    for (index, value) in values.enumerated() {
      guard let number = value.double, number.isFinite, number > 0 else {
        throw fault("\(field)[\(index)]", value.summary, "a finite number above 0")
      }
      numbers.append(number)
    }
    return numbers
  }

  /// Whole numbers of 0 or more, or nil where the field is missing or null.
  public func counts(_ field: String) throws(EmbedError) -> [Int]? {
    guard let value = value(field), value != .null else { return nil }
    guard case .array(let values) = value else {
      throw fault(field, value.summary, "an array of whole numbers")
    }
    var counts: [Int] = []
    for (index, value) in values.enumerated() {
      guard case .integer(let count) = value, count >= 0 else {
        throw fault("\(field)[\(index)]", value.summary, "a whole number, 0 or more")
      }
      counts.append(count)
    }
    return counts
  }

  /// True or false, or nil where the field is missing or null.
  public func bool(_ field: String) throws(EmbedError) -> Bool? {
    guard let value = value(field), value != .null else { return nil }
    guard case .bool(let bool) = value else { throw fault(field, value.summary, "true or false") }
    return bool
  }

  /// The configuration's `max_position_embeddings`.
  public func maximumPositions() throws(EmbedError) -> Int {
    guard let length = try file.length("max_position_embeddings") else {
      throw .invalidField(
        field: file.prefix + "max_position_embeddings", found: "missing",
        expected: "a whole number above 0")
    }
    return length
  }

  /// The length before extension: the configuration's `original_max_position_embeddings`, unless the
  /// object is one of several by layer type, else the object's, else `max_position_embeddings`.
  public func originalMaximumPositions() throws(EmbedError) -> Int {
    let field = "original_max_position_embeddings"
    if !isByLayer, let length = try file.length(field) { return length }
    if let value = value(field), value != .null {
      return try Self.length("\(name).\(field)", value)
    }
    guard try file.value("max_position_embeddings") != nil else {
      throw fault(field, "missing", "a whole number above 0")
    }
    return try maximumPositions()
  }

  /// The part of a head that turns, 0...1; 1 where nothing says otherwise.
  public func partialRotaryFactor() throws(EmbedError) -> Double {
    try statedPartialRotaryFactor() ?? 1
  }

  /// The same, nil where neither the file nor the model type says anything.
  func statedPartialRotaryFactor() throws(EmbedError) -> Double? {
    let field = "partial_rotary_factor"
    var found = "\(name).\(field)"
    var value = value(field)
    if value == nil || value == .null {
      found = try file.stated(field)?.name ?? file.prefix + field
      value = try file.value(field)
    }
    guard let value, value != .null else { return nil }
    guard let factor = value.double, factor >= 0, factor <= 1 else {
      throw .invalidField(field: found, found: value.summary, expected: "0...1")
    }
    return factor
  }

  static func length(
    _ field: String, _ value: JSONValue?, limit: Int = Int(Int32.max)
  ) throws(EmbedError) -> Int {
    let expected =
      limit == Int(Int32.max) ? "a whole number above 0" : "a whole number of 1...\(limit)"
    guard let value else { throw .invalidField(field: field, found: "missing", expected: expected) }
    var length: Int?
    if case .integer(let whole) = value { length = whole }
    // Some configurations write 8192.0.
    if case .number(let number) = value { length = Int(exactly: number) }
    guard let length, length > 0, length <= limit else {
      throw .invalidField(
        field: field, found: value.summary,
        expected: length.map { $0 > limit } == true
          ? "a whole number of 1...\(limit)" : expected)
    }
    return length
  }
}

/// The names that were asked for.
private final class Asked: Sendable {
  private let all = Guarded<Set<String>>([])

  var names: Set<String> { all.withLock { $0 } }

  func insert(_ name: String) { all.withLock { _ = $0.insert(name) } }
}
