// Settings as texts of a checkpoint: a list of keys says both what is written and how it is read back, with
// errors that name the key.

/// The texts of a checkpoint.
package struct CheckpointTexts {
  package let path: String
  package let texts: [String: String]

  package init(_ path: String, _ texts: [String: String]) {
    self.path = path
    self.texts = texts
  }

  func integer<Value: FixedWidthInteger>(_ key: String) throws(TrainingError) -> Value {
    guard let value = texts[key].flatMap({ Value($0) }) else { throw wrong(key, "an integer") }
    return value
  }

  func wrong(_ key: String, _ expected: String) -> TrainingError {
    .checkpoint(path: path, key: key, found: texts[key], expected: expected)
  }
}

/// A setting that a checkpoint keeps: its key, its text, and how it is taken from a text.
package struct CheckpointField<Settings> {
  let key: String
  let expected: String
  let text: (Settings) -> String?
  /// Gives whether the text was one of its values.
  let take: (inout Settings, String?) -> Bool

  private init<Value>(
    _ key: String, _ path: WritableKeyPath<Settings, Value>, _ expected: String,
    _ text: @escaping (Value) -> String?, _ value: @escaping (String?) -> Value?
  ) {
    (self.key, self.expected) = (key, expected)
    self.text = { text($0[keyPath: path]) }
    take = { settings, text in
      guard let value = value(text) else { return false }
      settings[keyPath: path] = value
      return true
    }
  }

  /// A number or a text; a Double's shortest text reads back as the same bits.
  package init<Value: LosslessStringConvertible>(
    _ key: String, _ path: WritableKeyPath<Settings, Value>, _ expected: String? = nil,
    where holds: @escaping (Value) -> Bool = { _ in true }
  ) {
    self.init(key, path, expected ?? Self.kind(Value.self), \.description) { text in
      text.flatMap(Value.init).flatMap { holds($0) ? $0 : nil }
    }
  }

  /// The same where there may be no value, which `absent` or no text stands for.
  package init<Value: LosslessStringConvertible>(
    _ key: String, _ path: WritableKeyPath<Settings, Value?>, absent: String? = nil,
    _ expected: String? = nil, where holds: @escaping (Value) -> Bool = { _ in true }
  ) {
    self.init(key, path, expected ?? Self.kind(Value.self), { $0?.description ?? absent }) { text in
      text == absent
        ? .some(nil) : text.flatMap(Value.init).flatMap { holds($0) ? .some($0) : nil }
    }
  }

  private static func kind<Value>(_ type: Value.Type) -> String {
    Value.self is any FixedWidthInteger.Type ? "an integer" : "a number"
  }

  /// One of a type's cases, of which no text stands for `absent`.
  package init<Value: RawRepresentable<String> & CaseIterable & Equatable>(
    choice key: String, _ path: WritableKeyPath<Settings, Value>, absent: Value? = nil
  ) {
    let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
    self.init(key, path, "one of \(names)", { $0 == absent ? nil : $0.rawValue }) { text in
      text.map { Value(rawValue: $0) } ?? absent
    }
  }
}

extension Array {
  /// The settings as texts.
  package func texts<Settings>(of settings: Settings) -> [String: String]
  where Element == CheckpointField<Settings> {
    reduce(into: [:]) { texts, field in texts[field.key] = field.text(settings) }
  }

  /// Takes every setting from the texts.
  package func read<Settings>(
    _ settings: inout Settings, from texts: CheckpointTexts
  ) throws(TrainingError) where Element == CheckpointField<Settings> {
    for field in self where !field.take(&settings, texts.texts[field.key]) {
      throw texts.wrong(field.key, field.expected)
    }
  }
}
