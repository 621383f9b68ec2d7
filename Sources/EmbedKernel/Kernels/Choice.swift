// What `auto` takes: backend, threads and kind of traffic, from the size of the call. The limits
// were measured by the benchmarks; see `Tuning`.

/// The limits at which another way becomes faster.
struct Tuning: Sendable {
  /// From this many output bytes on, threads gain more than waking them costs.
  var parallelBytes = 192 << 10
  /// From this many output bytes on, the output is written past the cache.
  var streamingBytes = 8 << 20
  /// From this many output bytes on, rows to come are prefetched.
  var prefetchBytes = 64 << 10
  /// How far ahead, in bytes of token rows.
  var prefetchDistance = 8 << 10

  static let current = Tuning()
}

/// A backend, threads and traffic for one call.
struct Choice {
  let backend: Backend
  let threads: Int
  let traffic: Traffic

  init(_ kernels: Kernels, _ pass: ForwardPass) throws(EmbedError) {
    let (bytes, tuning) = (pass.outputBytes, Tuning.current)
    let forced = try forcedBackend()
    backend = kernels.backend ?? forced ?? .native
    let gaining = bytes < tuning.parallelBytes ? 1 : Threads.available
    threads = min(kernels.threads ?? gaining, pass.tokenCount)
    traffic = Traffic(
      streaming: bytes >= tuning.streamingBytes,
      prefetchRows: bytes >= tuning.prefetchBytes
        ? max(2, tuning.prefetchDistance / (pass.dim * 4)) : 0)
  }
}

/// The backend that `EMBEDKERNEL_BACKEND` names, read once.
private func forcedBackend() throws(EmbedError) -> Backend? {
  if let error = environmentBackend.error { throw error }
  return environmentBackend.backend
}

private let environmentBackend: (backend: Backend?, error: EmbedError?) = {
  let variable = "EMBEDKERNEL_BACKEND"
  guard let value = environment(variable), value != "auto" else { return (nil, nil) }
  if let backend = Backend(rawValue: value) { return (backend, nil) }
  let names = Backend.allCases.map(\.rawValue).joined(separator: ", ")
  return (nil, .invalidEnvironment(variable: variable, value: value, expected: "auto, \(names)"))
}()
