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

extension Kernels {
  /// Adds to each token's row the row of its position.
  ///
  ///     for b in 0..<batch, t in 0..<context:
  ///       output[b, t, :] = scale * tokens[ids[b, t], :] + positions[place(b, t), :]
  ///
  /// Bit for bit the same for every backend and number of threads.
  ///
  /// - Parameters:
  ///   - ids: Shape `[batch, context]`.
  ///   - tokens: Token table, shape `[vocabulary, dim]`.
  ///   - positions: Position table, shape `[maximum, dim]`; nil adds none.
  ///   - shape: The four sizes.
  ///   - place: Where each token stands; by default at its column.
  ///   - options: Scale, and what to do outside the tables.
  ///   - output: Shape `[batch, context, dim]`; shares no memory with the inputs.
  /// - Throws: `EmbedError`, before anything is written.
  /// - Complexity: O(N·D) for N tokens. Memory traffic: N·D·4 bytes read, as many written, and the
  ///   position rows once. Allocates nothing.
  @inlinable
  public func embed<ID: TokenID>(
    ids: Span<ID>, tokens: Span<Float>, positions: Span<Float>?, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: inout MutableSpan<Float>
  ) throws(EmbedError) {
    // A span's memory outlives the call that borrows it.
    var positionBuffer: UnsafeBufferPointer<Float>?
    if let positions { unsafe positionBuffer = positions.withUnsafeBufferPointer { unsafe $0 } }
    try unsafe embed(
      ids: ids.withUnsafeBufferPointer { unsafe $0 },
      tokens: tokens.withUnsafeBufferPointer { unsafe $0 }, positions: positionBuffer,
      shape: shape, at: place, options: options,
      into: output.withUnsafeMutableBufferPointer { unsafe $0 })
  }

  /// The same on buffer pointers.
  @inlinable
  public func embed<ID: TokenID>(
    ids: UnsafeBufferPointer<ID>, tokens: UnsafeBufferPointer<Float>,
    positions: UnsafeBufferPointer<Float>?, shape: EmbeddingShape,
    at place: PositionIDs = .sequential(), options: EmbedOptions = EmbedOptions(),
    into output: UnsafeMutableBufferPointer<Float>
  ) throws(EmbedError) {
    try unsafe embed(TokenIDs(ids), tokens, positions, shape, place, options, output)
  }

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
        unsafe ForwardPass(
          shape: shape, ids: ids, tokens: tokens, positions: positions, place: place,
          places: places, options: options, output: output), tuning)
    }
  }

  @inline(__always)
  private func run(_ pass: ForwardPass, _ tuning: Tuning) throws(EmbedError) {
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
