// Reading an environment variable without Foundation.

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#else
  internal import Darwin
#endif

/// The value of an environment variable, nil where it is unset or empty.
func environment(_ variable: String) -> String? {
  guard let value = unsafe getenv(variable) else { return nil }
  let text = unsafe String(cString: value)
  return text.isEmpty ? nil : text
}
