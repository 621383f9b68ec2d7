// What `auto` takes: backend, threads and kind of traffic, from the size of the call.

package import CKernels

/// How one call runs.
@safe package struct Plan {
  package let backend: Backend
  package let threads: Int
  package let traffic: Traffic
  /// The C kernels: the native backend's; for the others, which take them for what they have no way
  /// of their own to do, the portable ones.
  package let kernels: UnsafePointer<ek_kernels>

  /// The plan of a call whose sizes have been checked.
  @inline(__always)
  package init(_ choice: Kernels, _ shape: EmbeddingShape) throws(EmbedError) {
    let tokens = shape.batch &* shape.context
    try self.init(
      choice, outputBytes: tokens &* shape.dim &* 4, rows: tokens, dim: shape.dim)
  }

  /// The plan of a forward call, for which the tuning chooses the backend too. For other calls it was
  /// not measured, and OpenBLAS's rotation has other bits.
  @inline(__always)
  init(forward shape: EmbeddingShape, _ choice: Kernels) throws(EmbedError) {
    let tokens = shape.batch &* shape.context
    let bytes = tokens &* shape.dim &* 4
    try self.init(
      choice, outputBytes: bytes, rows: tokens, dim: shape.dim,
      suited: choice.limits.backend(outputBytes: bytes),
      byAVX2: bytes >= choice.limits.avx2Bytes ? true : nil)
  }

  /// The plan for a call that moves `rows` rows of `dim` floats to or from an output.
  ///
  /// - Parameter byAVX2: Whether AVX2 is taken where the CPU has AVX-512; by default where the rows are
  ///   wide and the output is small.
  @inline(__always)
  package init(
    _ choice: Kernels, outputBytes bytes: Int, rows: Int, dim: Int,
    suited: Backend = .native, byAVX2: Bool? = nil
  ) throws(EmbedError) {
    if let threads = choice.threads, threads < 1 {
      throw .invalidSize(argument: "threads", value: threads, expected: "1 or more")
    }
    let (defaults, tuning) = (Defaults.ofProcess, choice.limits)
    if let error = defaults.error { throw error }
    backend = choice.backend ?? defaults.backend ?? suited
    if backend == .openBLAS { try OpenBLASLibrary.open() }
    threads = min(
      choice.threads ?? (bytes < tuning.parallelBytes ? 1 : defaults.threads), rows)
    let isLarge = bytes >= tuning.prefetchBytes
    let ahead = isLarge ? max(2, min(tuning.prefetchRows, tuning.prefetchLimit / (dim * 4))) : 0
    traffic = Traffic(
      streaming: bytes >= tuning.streamingBytes, byPosition: bytes >= tuning.byPositionBytes,
      prefetchRows: ahead, isNear: isLarge && ahead * dim * 4 <= tuning.nearBytes,
      bytesAhead: tuning.updateBytesAhead, nearBytes: tuning.updateNearBytes)
    guard backend == .native else {
      unsafe kernels = plainKernels
      return
    }
    if let set = choice.instructionSet {
      guard let kernels = unsafe set.kernels else { throw .unavailableInstructionSet(set) }
      unsafe self.kernels = kernels
    } else {
      let byAVX2 = byAVX2 ?? (!isLarge && dim >= tuning.avx2Dim)
      unsafe kernels = byAVX2 ? defaults.avx2Kernels : defaults.kernels
    }
  }
}

/// Those that every CPU runs.
nonisolated(unsafe) let plainKernels = unsafe ek_kernels_for(EK_PLAIN).unsafelyUnwrapped

/// What this process takes where a call leaves the choice open.
@safe private struct Defaults: @unchecked Sendable {
  /// The environment's, if it names one.
  let backend: Backend?
  let kernels: UnsafePointer<ek_kernels>
  /// Those for rows that are in cache, where AVX2 beats AVX-512 on Zen 4: a store of a whole line
  /// takes it two cycles, and waits for loads that differ from it by a multiple of 4 KiB.
  let avx2Kernels: UnsafePointer<ek_kernels>
  let threads = Threads.available
  /// What is wrong with an environment variable; every call throws it.
  let error: EmbedError?

  static let ofProcess = Defaults()

  private init() {
    let backend = EnvironmentChoice<Backend>("EMBEDKERNEL_BACKEND")
    self.backend = backend.value
    do throws(EmbedError) {
      unsafe kernels = try InstructionSet.ofProcess.kernels.unsafelyUnwrapped
      error = backend.error
    } catch {
      unsafe kernels = plainKernels
      self.error = backend.error ?? error
    }
    let isChosen = InstructionSet.environment.value != nil || !InstructionSet.avx512.isAvailable
    unsafe avx2Kernels = isChosen ? kernels : ek_kernels_for(EK_AVX2) ?? kernels
  }
}

/// How a call's bytes should move.
package struct Traffic {
  /// Whether the output goes past the cache.
  package let streaming: Bool
  /// Whether sequences that share their positions are written position by position.
  let byPosition: Bool
  /// How many rows ahead to prefetch; 0 for none.
  package let prefetchRows: Int
  /// Whether forward calls prefetch into L1.
  let isNear: Bool
  fileprivate let bytesAhead: Int
  fileprivate let nearBytes: Int

  /// How many rows ahead to prefetch where sums and steps take `bytes` of memory a row, all arrays
  /// together, and whether into L1.
  func ahead(_ bytes: Int) -> (rows: Int, isNear: Bool) {
    guard prefetchRows > 0 else { return (0, false) }
    let rows = max(1, min(prefetchRows, bytesAhead / bytes))
    return (rows, rows * bytes <= nearBytes)
  }
}
