// The rotary fields of a model's configuration, with errors that name the field: what each scaling
// scheme reads its numbers from.

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
  let configuration: JSONValue

  init(name: String, object: JSONValue, configuration: JSONValue) {
    self.name = name
    self.object = object
    self.configuration = configuration
  }

  /// The error that a field is not what it should be.
  public func fault(_ field: String, _ found: String, _ expected: String) -> EmbedError {
    .invalidField(field: "\(name).\(field)", found: found, expected: expected)
  }

  /// Whether the field is there and null.
  public func isNull(_ field: String) -> Bool { object[field] == .null }

  /// A number, or nil where the field is missing or null. It may be of any value.
  public func number(_ field: String) throws(EmbedError) -> Double? {
    guard let value = object[field], value != .null else { return nil }
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
    guard let value = object[field] else {
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
    guard let value = object[field], value != .null else { return nil }
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
    guard let value = object[field], value != .null else { return nil }
    guard case .bool(let bool) = value else { throw fault(field, value.summary, "true or false") }
    return bool
  }

  /// The configuration's `max_position_embeddings`.
  public func maximumPositions() throws(EmbedError) -> Int {
    let value = configuration["max_position_embeddings"]
    return try Self.length("max_position_embeddings", value)
  }

  /// The length before extension: the configuration's `original_max_position_embeddings`, else the
  /// object's, else the configuration's `max_position_embeddings`.
  public func originalMaximumPositions() throws(EmbedError) -> Int {
    let field = "original_max_position_embeddings"
    if let value = configuration[field], value != .null { return try Self.length(field, value) }
    if let value = object[field], value != .null {
      return try Self.length("\(name).\(field)", value)
    }
    guard configuration["max_position_embeddings"] != nil else {
      throw fault(field, "missing", "a whole number above 0")
    }
    return try maximumPositions()
  }

  /// The part of a head that turns, 0...1; 1 where nothing says otherwise.
  public func partialRotaryFactor() throws(EmbedError) -> Double {
    let fields = ["partial_rotary_factor", "rotary_pct"]
    let inside = try number("partial_rotary_factor")
    let beside = fields.lazy.compactMap { configuration[$0]?.double }.first
    let factor = inside ?? beside ?? 1
    guard factor >= 0, factor <= 1 else {
      throw inside == nil
        ? .invalidField(field: fields[0], found: "\(factor)", expected: "0...1")
        : fault(fields[0], "\(factor)", "0...1")
    }
    return factor
  }

  static func length(_ field: String, _ value: JSONValue?) throws(EmbedError) -> Int {
    let expected = "a whole number above 0"
    guard let value else { throw .invalidField(field: field, found: "missing", expected: expected) }
    if case .integer(let length) = value, length > 0 { return length }
    // Some configurations write 8192.0.
    if case .number(let number) = value, number > 0, let length = Int(exactly: number) {
      return length
    }
    throw .invalidField(field: field, found: value.summary, expected: expected)
  }
}
