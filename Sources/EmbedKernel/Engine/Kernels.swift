// The entrance: choose a backend and call it on your own memory.

/// The kernels of a backend, or of the one that suits each call.
///
/// A small value: make one where it is used, or keep it. Calls keep no state, so one value serves
/// any number of threads at once.
public struct Kernels: Hashable, Sendable {
  /// The backend of every call, or nil for the one that suits the shape and the CPU.
  public var backend: Backend?

  /// The threads of every call, or nil for as many as the shape gains from.
  public var threads: Int?

  /// The instruction set of the native backend, or nil for the best that the CPU has.
  public var instructionSet: InstructionSet?

  /// Kernels with some choices fixed; what is nil is chosen by shape and CPU, or by the environment
  /// variables `EMBEDKERNEL_BACKEND` (`openblas`, `simd`, `native`) and
  /// `EMBEDKERNEL_INSTRUCTION_SET` (`plain`, `neon`, `avx2`, `avx512`, `avx512bf16`).
  public init(
    backend: Backend? = nil, threads: Int? = nil, instructionSet: InstructionSet? = nil
  ) {
    self.backend = backend
    self.threads = threads
    self.instructionSet = instructionSet
  }

  /// What suits each call.
  public static let auto = Kernels()
  /// The OpenBLAS backend.
  public static let openBLAS = Kernels(backend: .openBLAS)
  /// The pure Swift backend.
  public static let simd = Kernels(backend: .simd)
  /// The C backend.
  public static let native = Kernels(backend: .native)

  /// The same on `count` threads.
  public func threads(_ count: Int?) -> Kernels {
    Kernels(backend: backend, threads: count, instructionSet: instructionSet)
  }
}

// MARK: Embedding floats

extension Kernels {
  @usableFromInline
  func embed(
    _ ids: TokenIDs, _ tokens: UnsafeBufferPointer<Float>,
    _ positions: UnsafeBufferPointer<Float>?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ options: EmbedOptions, _ output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try unsafe embed(
      ids, tokens, positions, shape, place, options, output, tuning: .inForce)
  }

  /// The same with other limits between ways than those measured.
  @inline(__always)
  package func embed(
    _ ids: TokenIDs, _ tokens: UnsafeBufferPointer<Float>,
    _ positions: UnsafeBufferPointer<Float>?, _ shape: EmbeddingShape, _ place: PositionIDs,
    _ options: EmbedOptions, _ output: UnsafeMutableBufferPointer<Float>, tuning: Tuning
  ) throws(EmbedError) {
    try place.withPlaces(context: shape.context) { (places) throws(EmbedError) in
      try run(
        unsafe EmbedCall(
          shape: shape, ids: ids, tokens: tokens, positions: positions, place: place,
          places: places, options: options, output: output), tuning)
    }
  }

  @inline(__always)
  private func run(_ pass: EmbedCall, _ tuning: Tuning) throws(EmbedError) {
    let plan = try Plan(forward: pass.shape, self, tuning)
    if pass.outputBytes == 0 {
      return
    } else if pass.isRegular {
      plan.backend.embed(pass, plan)
    } else {
      pass.embedRowByRow(threads: plan.threads)
    }
  }
}
