// What the fused layer's backward fills: the gradient of each row's sum, and of the parameters that
// all rows share. The memory is kept from step to step.
//
// N tokens, D dim, S segments.

/// The gradients of a `FusedInputEmbedding`.
///
/// The rows are those of the last backward; the parameters' gradients add up over calls until
/// `removeAll()`, so that micro-batches accumulate.
public struct FusedEmbeddingGradient: ~Copyable {
  /// The number of floats of a row.
  public let dim: Int

  /// The number of rows of the last backward.
  public private(set) var count = 0

  private var rowStorage: AlignedBuffer<Float>
  private var gammaStorage: AlignedBuffer<Float>
  private var betaStorage: AlignedBuffer<Float>
  private var segmentStorage: AlignedBuffer<Float>
  private var partialStorage: AlignedBuffer<Float>

  /// Empty gradients for `layer`, with room for batches of `capacity` tokens.
  ///
  /// - Throws: `invalidSize`, `sizeOverflow`, `outOfMemory`.
  public init<Element>(
    for layer: FusedInputEmbedding<Element>, capacity: Int = 0
  ) throws(EmbedError) {
    try unsafe self.init(
      for: layer, capacity: capacity, rows: nil, gamma: nil, beta: nil, segments: nil, of: nil)
  }

  /// Gradients in someone else's memory, each of the size that the layer's has; what is nil or empty gets
  /// memory of its own.
  package init<Element>(
    for layer: FusedInputEmbedding<Element>, capacity: Int = 0,
    rows: UnsafeMutableBufferPointer<Float>?,
    gamma: UnsafeMutableBufferPointer<Float>?, beta: UnsafeMutableBufferPointer<Float>?,
    segments: UnsafeMutableBufferPointer<Float>?, of owner: BorrowedMemory?
  ) throws(EmbedError) {
    func part(
      _ memory: UnsafeMutableBufferPointer<Float>?, _ count: Int
    ) throws(EmbedError) -> AlignedBuffer<Float> {
      guard let owner, let memory = unsafe memory, !memory.isEmpty else {
        return try AlignedBuffer(count: count)
      }
      return unsafe AlignedBuffer(borrowing: memory, of: owner)
    }
    let dim = layer.dim
    let rows = try unsafe part(rows, elementCount("row gradient", capacity, dim))
    let gamma = try unsafe part(gamma, layer.normalization == nil ? 0 : dim)
    let beta = try unsafe part(beta, layer.normalization?.beta == nil ? 0 : dim)
    let segments = try unsafe part(segments, (layer.segments?.rows ?? 0) * dim)
    let partials = try AlignedBuffer<Float>(count: 0)
    self.dim = dim
    rowStorage = rows
    gammaStorage = gamma
    betaStorage = beta
    segmentStorage = segments
    partialStorage = partials
  }

  /// d(x) of each token, shape `[count, dim]`: the gradient of the sum before normalisation.
  ///
  /// It is what the backward of the token table takes (times the scale) and that of the position
  /// table.
  public var rows: Span<Float> {
    @_lifetime(borrow self)
    get { rowStorage.span.extracting(first: count * dim) }
  }

  /// d(gamma), shape `[dim]`, or empty without normalisation.
  public var gamma: Span<Float> {
    @_lifetime(borrow self)
    get { gammaStorage.span }
  }

  /// d(beta), shape `[dim]`, or empty where there is none.
  public var beta: Span<Float> {
    @_lifetime(borrow self)
    get { betaStorage.span }
  }

  /// d(segments), shape `[segments, dim]`, or empty where there are none.
  public var segments: Span<Float> {
    @_lifetime(borrow self)
    get { segmentStorage.span }
  }

  /// Sets the parameters' gradients to 0 and lists no row.
  public mutating func removeAll() {
    count = 0
    unsafe gammaStorage.unsafeBuffer.update(repeating: 0)
    unsafe betaStorage.unsafeBuffer.update(repeating: 0)
    unsafe segmentStorage.unsafeBuffer.update(repeating: 0)
  }

  /// Whether this has the sizes of `layer`.
  package func fits<Element>(_ layer: FusedInputEmbedding<Element>) -> Bool {
    dim == layer.dim && gammaStorage.count == (layer.normalization == nil ? 0 : dim)
      && betaStorage.count == (layer.normalization?.beta == nil ? 0 : dim)
      && segmentStorage.count == (layer.segments?.rows ?? 0) * dim
  }

  /// Makes room for `count` rows, and for sums of `partials` floats. Allocates only where a batch
  /// is larger than any before.
  mutating func reserve(count: Int, partials: Int) throws(EmbedError) {
    if count * dim > rowStorage.count {
      rowStorage = try AlignedBuffer(count: elementCount("row gradient", count, dim))
    }
    if partials > partialStorage.count {
      partialStorage = try AlignedBuffer(count: partials)
    }
  }

  mutating func setCount(_ count: Int) { self.count = count }

  /// The rows' memory, for `count` rows.
  func rowMemory(_ count: Int) -> UnsafeMutableBufferPointer<Float> {
    unsafe UnsafeMutableBufferPointer(start: rowStorage.base, count: count * dim)
  }

  var partialMemory: UnsafeMutablePointer<Float> { unsafe partialStorage.base }

  /// Adds the chunks' sums to the parameters' gradients.
  func addPartials(_ layout: PartialLayout, threads: Int) {
    func add(_ storage: borrowing AlignedBuffer<Float>, _ start: Int?) {
      guard let start else { return }
      let work = unsafe AddPartials(
        target: storage.base, partials: partialStorage.base + start, layout: layout)
      Threads.split(storage.count, storage.count * layout.chunks < 1 << 15 ? 1 : threads, work)
    }
    add(gammaStorage, layout.gamma)
    add(betaStorage, layout.beta)
    add(segmentStorage, layout.segments)
  }
}
