// Choices that environment variables force, read once and checked.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// What an environment variable says: one of a type's cases, nothing, or something not understood.
struct EnvironmentChoice<Value: RawRepresentable & CaseIterable & Sendable>: Sendable
where Value.RawValue == String {
  let value: Value?
  let error: EmbedError?

  /// Reads `variable`; unset, empty and `auto` choose nothing.
  init(_ variable: String) {
    let text = unsafe getenv(variable).map { unsafe String(cString: $0) } ?? ""
    value = Value(rawValue: text)
    if value != nil || text.isEmpty || text == "auto" {
      error = nil
    } else {
      let names = Value.allCases.map(\.rawValue).joined(separator: ", ")
      error = .invalidEnvironment(variable: variable, value: text, expected: "auto, \(names)")
    }
  }
}
