// Choices that environment variables force, read once and checked.

/// What an environment variable says: one of a type's cases, nothing, or something not understood.
struct EnvironmentChoice<Value: RawRepresentable & CaseIterable & Sendable>: Sendable
where Value.RawValue == String {
  let value: Value?
  let error: EmbedError?

  /// Reads `variable`; unset, empty and `auto` choose nothing.
  init(_ variable: String) {
    let text = environment(variable) ?? ""
    value = Value(rawValue: text)
    if value != nil || text.isEmpty || text == "auto" {
      error = nil
    } else {
      let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
      error = .invalidEnvironment(variable: variable, value: text, expected: "auto, \(names)")
    }
  }
}
