// The norm of all gradients together, and clipping by it: PyTorch's `clip_grad_norm_`. Sums are in
// Double, over parts whose limits depend on the number of elements alone, so that the norm is bit for
// bit the same for every thread count.

/// The norm over any number of gradients, sparse and dense.
///
///     var norm = GradientNorm()
///     norm.add(gradient.tokens)
///     norm.add(headGradient)
///     let factor = norm.clipFactor(maximum: 1)
///
/// The factor is for `scale(by:)`, or for the optimiser's gradient scale, which saves a pass.
public struct GradientNorm: Sendable {
  /// The p of the norm.
  public let order: NormOrder

  private var total = 0.0

  /// The norm of nothing: 0.
  ///
  /// - Throws: `invalidValue` for a p that is not above 0.
  public init(order: NormOrder = .two) throws(EmbedError) {
    try order.check()
    self.order = order
  }

  /// The Euclidean norm of nothing.
  public init() { order = .two }

  /// The norm of what was added so far; not finite where an element was not.
  public var value: Double { order.root(total) }

  /// What gradients are to be multiplied by, so that their norm is at most `maximum`: at most 1, and
  /// `maximum / (value + 1e-6)` above it.
  ///
  /// - Throws: `invalidValue` for a maximum below 0 or a norm that is not finite.
  public func clipFactor(maximum: Double) throws(EmbedError) -> Float {
    try Self.clipFactor(value, maximum: maximum)
  }

  /// The same of a norm that was found elsewhere.
  package static func clipFactor(_ value: Double, maximum: Double) throws(EmbedError) -> Float {
    guard maximum >= 0, maximum.isFinite else {
      throw .invalidValue(
        argument: "maximum norm", value: maximum, expected: "a finite number, 0 or more")
    }
    guard value.isFinite else {
      throw .invalidValue(argument: "gradient norm", value: value, expected: "a finite number")
    }
    return Float(min(1, maximum / (value + 1e-6)))
  }

  /// Adds a row-sparse gradient. Allocates nothing.
  public mutating func add(_ gradient: borrowing RowSparseGradient, threads: Int? = nil) {
    unsafe add(
      UnsafeBufferPointer(start: gradient.valueMemory, count: gradient.count * gradient.dim),
      threads)
  }

  /// Adds a dense gradient. Allocates nothing.
  @inlinable
  public mutating func add<Gradient: ReadableElements<Float> & ~Copyable & ~Escapable>(
    _ gradient: borrowing Gradient, threads: Int? = nil
  ) {
    unsafe gradient.withElements { unsafe add($0, threads) }
  }

  @usableFromInline
  mutating func add(_ gradient: UnsafeBufferPointer<Float>, _ threads: Int?) {
    guard let base = gradient.baseAddress, !gradient.isEmpty else { return }
    var sums = InlineArray<64, Double>(repeating: 0)
    var span = sums.mutableSpan
    let parts = gradient.count < elementsToSplit ? 1 : 64
    unsafe span.withUnsafeMutableBufferPointer { sums in
      let work = unsafe NormWork(
        values: base, count: gradient.count, parts: parts, order: order,
        sums: sums.baseAddress.unsafelyUnwrapped)
      Threads.split(parts, threads ?? Threads.available, work)
    }
    for part in 0..<parts { total = order.combine(total, sums[part]) }
  }
}

/// Below this many elements waking threads costs more than it gains.
private let elementsToSplit = 1 << 16

/// Sums of parts of equal length.
@safe private struct NormWork: ParallelWork {
  let values: UnsafePointer<Float>
  let count: Int
  let parts: Int
  let order: NormOrder
  let sums: UnsafeMutablePointer<Double>

  func run(_ range: Range<Int>) {
    for part in range {
      let (start, end) = (part * count / parts, (part + 1) * count / parts)
      unsafe sums[part] = order.sum(values + start, end - start)
    }
  }
}

extension RowSparseGradient {
  /// Multiplies all values by `factor`, as clipping does; a factor of 1 touches nothing.
  public mutating func scale(by factor: Float, threads: Int? = nil) {
    guard factor != 1 else { return }
    Threads.split(
      count, count * dim < elementsToSplit ? 1 : threads ?? Threads.available,
      unsafe ScaleWork(values: valueMemory, dim: dim, factor: factor))
  }
}

@safe private struct ScaleWork: ParallelWork {
  let values: UnsafeMutablePointer<Float>
  let dim: Int
  let factor: Float

  func run(_ range: Range<Int>) {
    for i in range.lowerBound * dim..<range.upperBound * dim { unsafe values[i] *= factor }
  }
}
