// What `auto` takes: backend, threads and kind of traffic, from the size of the call.

/// The sizes at which another way becomes faster, measured by the benchmarks.
package struct Tuning: Sendable {
  /// From this many output bytes on, threads gain more than waking them costs.
  package var parallelBytes = 192 << 10
  /// From this many output bytes on, the output is written past the cache.
  package var streamingBytes = 8 << 20
  /// From this many output bytes on, rows to come are prefetched.
  package var prefetchBytes = 64 << 10
  /// How far ahead, in bytes of token rows.
  package var prefetchDistance = 8 << 10

  /// The limits measured on the development machines.
  package init() {}
}

/// How one call runs.
struct Plan {
  let backend: Backend
  let threads: Int
  let traffic: Traffic
  let instructionSet: InstructionSet

  /// The plan of a call whose sizes have been checked.
  init(_ kernels: Kernels, _ shape: EmbeddingShape, _ tuning: Tuning) throws(EmbedError) {
    if let threads = kernels.threads, threads < 1 {
      throw .invalidSize(argument: "threads", value: threads, expected: "1 or more")
    }
    let tokens = shape.batch &* shape.context
    let bytes = tokens &* shape.dim &* 4
    let gaining = bytes < tuning.parallelBytes ? 1 : Threads.available
    let forced = try forcedBackend.get()
    backend = kernels.backend ?? forced ?? .native
    threads = min(kernels.threads ?? gaining, tokens)
    traffic = Traffic(
      streaming: bytes >= tuning.streamingBytes,
      prefetchRows: bytes >= tuning.prefetchBytes
        ? max(2, tuning.prefetchDistance / (shape.dim * 4)) : 0)
    let set = try forcedSet.get()
    instructionSet = kernels.instructionSet ?? set ?? .best
    guard instructionSet.isAvailable else { throw .unavailableInstructionSet(instructionSet) }
  }
}

private let forcedBackend = EnvironmentChoice<Backend>("EMBEDKERNEL_BACKEND")
private let forcedSet = EnvironmentChoice<InstructionSet>("EMBEDKERNEL_INSTRUCTION_SET")
