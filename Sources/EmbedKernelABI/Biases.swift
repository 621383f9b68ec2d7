// Attention biases of positions behind handles.
//
// B batch, H heads, Q queries, K keys.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedSchemes

/// A bias, which any number of threads may use at once.
final class BiasObject: Handled {
  static let kind: UInt32 = 4

  /// The bias, in a table of distances where it is one of them.
  let bias: any AttentionBias
  /// The parameters of a bias that is trained.
  let weights: EmbeddingTable<Float>?
  /// Takes parameters that have changed.
  private let refresh: @Sendable () throws -> Void
  /// Held by calls that change the weights, and by those that read them.
  let lock = Guarded<Void>(())

  init(
    _ bias: any AttentionBias, weights: EmbeddingTable<Float>? = nil,
    refresh: @escaping @Sendable () throws -> Void = {}
  ) {
    self.bias = bias
    self.weights = weights
    self.refresh = refresh
  }

  /// A trained bias of distances.
  convenience init(
    _ formula: any TrainedDistanceBias, _ weights: EmbeddingTable<Float>
  ) throws(EmbedError) {
    let table = try DistanceTable(formula)
    self.init(table, weights: weights) { table.refresh() }
  }

  var isTrained: Bool { weights != nil }

  /// What is trained, and its parameters.
  func trained(_ argument: String) throws -> (bias: any TrainedBias, weights: EmbeddingTable<Float>)
  {
    guard let weights, let trained = bias as? any TrainedBias else {
      throw EmbedError.unsupported(
        argument: argument, value: "of \(bias.name)", expected: "a bias with parameters")
    }
    return (trained, weights)
  }

  /// Takes new parameters, or keeps the old ones where they are none.
  func set(_ given: UnsafeBufferPointer<Float>, _ weights: EmbeddingTable<Float>) throws {
    let old = unsafe Array(weights.unsafeBuffer)
    _ = unsafe weights.unsafeBuffer.update(fromContentsOf: given)
    do {
      try refresh()
    } catch {
      _ = unsafe weights.unsafeBuffer.update(fromContentsOf: old)
      try refresh()
      throw error
    }
  }
}

/// The caller's parameters, copied.
private func parameters(
  _ memory: UnsafePointer<Float>?, rows: Int64, dim: Int64, _ name: StaticString
) throws -> EmbeddingTable<Float> {
  let given = try unsafe readable(memory, product("\(name)", Int(rows), Int(dim)), name)
  let table = try EmbeddingTable<Float>(rows: Int(rows), dim: Int(dim))
  _ = unsafe table.unsafeBuffer.update(fromContentsOf: given)
  return table
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_alibi(
  _ heads: Int64, _ slopes: UnsafePointer<Double>?, _ symmetric: Int32,
  _ bias: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: bias, "bias")
    let direction: ALiBi.Direction = symmetric == 0 ? .causal : .symmetric
    try checkHeads(heads)
    let alibi =
      unsafe slopes == nil
      ? try ALiBi(heads: Int(heads), direction: direction)
      : try unsafe ALiBi(
        slopes: Array(readable(slopes, Int(heads), "slopes")), direction: direction)
    unsafe place.pointee = try makeHandle(BiasObject(DistanceTable(alibi)))
  }
}

/// No attention has more heads.
private let mostHeads: Int64 = 1 << 20

private func checkHeads(_ heads: Int64) throws {
  guard heads > 0, heads <= mostHeads else {
    throw EmbedError.invalidSize(
      argument: "heads", value: Int(heads), expected: "1...\(mostHeads)")
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_t5(
  _ buckets: Int64, _ maximumDistance: Int64, _ bidirectional: Int32,
  _ weights: UnsafePointer<Float>?, _ heads: Int64, _ bias: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: bias, "bias")
    let distances = try DistanceBuckets(
      count: Int(buckets), maximumDistance: Int(maximumDistance),
      direction: bidirectional == 0 ? .causal : .bidirectional)
    let table = try unsafe parameters(weights, rows: Int64(distances.count), dim: heads, "weights")
    unsafe place.pointee = try makeHandle(BiasObject(T5Bias(distances, weights: table), table))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_kerple(
  _ kernel: Int32, _ given: UnsafePointer<Float>?, _ heads: Int64,
  _ bias: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: bias, "bias")
    let kernel: KERPLE.Kernel = try choice(kernel, .logarithmic, .power, name: "kernel")
    try checkHeads(heads)
    let table = try unsafe parameters(given, rows: 2, dim: heads, "parameters")
    unsafe place.pointee = try makeHandle(
      BiasObject(KERPLE(kernel, parameters: table), table))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_fire(
  _ heads: Int64, _ width: Int64, _ threshold: Double, _ epsilon: Double,
  _ given: UnsafePointer<Float>?, _ bias: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: bias, "bias")
    try checkHeads(heads)
    guard width > 0, width <= 1 << 20 else {
      throw EmbedError.invalidSize(argument: "width", value: Int(width), expected: "1...\(1 << 20)")
    }
    let count = FIRE.parameterCount(heads: Int(heads), width: Int(width))
    let table = try unsafe parameters(given, rows: 1, dim: Int64(count), "parameters")
    let fire = try FIRE(
      heads: Int(heads), width: Int(width), initialThreshold: threshold, epsilon: epsilon,
      parameters: table)
    unsafe place.pointee = try makeHandle(
      BiasObject(fire, weights: table) { try fire.refresh() })
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_sandwich(
  _ heads: Int64, _ dim: Int64, _ base: Double, _ bias: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: bias, "bias")
    try checkHeads(heads)
    guard dim <= mostHeads else {
      throw EmbedError.invalidSize(
        argument: "dim", value: Int(dim), expected: "an even number of 2...\(mostHeads)")
    }
    let sandwich = try Sandwich(heads: Int(heads), dim: Int(dim), base: base)
    unsafe place.pointee = try makeHandle(BiasObject(DistanceTable(sandwich)))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_swin(
  _ rows: Int64, _ columns: Int64, _ given: UnsafePointer<Float>?, _ heads: Int64,
  _ bias: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  attempt {
    let place = try unsafe place(of: bias, "bias")
    try checkHeads(heads)
    for (name, size) in [("rows", rows), ("columns", columns)] where size < 1 || size > 1 << 15 {
      throw EmbedError.invalidSize(argument: name, value: Int(size), expected: "1...\(1 << 15)")
    }
    let table = try unsafe parameters(
      given, rows: (2 * rows - 1) * (2 * columns - 1), dim: heads, "weights")
    let swin = try SwinBias(rows: Int(rows), columns: Int(columns), weights: table)
    unsafe place.pointee = try makeHandle(BiasObject(swin, weights: table) { swin.refresh() })
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_set_weights(
  _ bias: OpaquePointer?, _ weights: UnsafePointer<Float>?, _ count: Int64
) -> Int32 {
  attempt {
    let found: BiasObject = try unsafe object(bias, "bias")
    let table = try found.trained("weights").weights
    guard count == table.rows * table.dim else {
      throw EmbedError.wrongElementCount(
        argument: "weights", expected: table.rows * table.dim, shape: [table.rows, table.dim],
        actual: Int(count))
    }
    let given = try unsafe readable(weights, table.rows * table.dim, "weights")
    try found.lock.withLock { _ in try unsafe found.set(given, table) }
  }
}

/// A call on logits, checked.
private struct BiasCall {
  let shape: AttentionShape
  let count: Int
  let queries: PositionIDs
  let keys: PositionIDs
  let mask: AttentionMask
  let kernels: Kernels
}

private func call(
  _ batch: Int64, _ heads: Int64, _ queries: Int64, _ keys: Int64,
  _ options: UnsafePointer<ek_bias_options>?
) throws -> BiasCall {
  let shape = AttentionShape(
    batch: Int(batch), heads: Int(heads), queries: Int(queries), keys: Int(keys))
  let rows = try product("logits", shape.batch, shape.heads, shape.queries)
  let count = try product("logits", rows, shape.keys)
  guard let options = unsafe options else {
    return BiasCall(
      shape: shape, count: count, queries: .sequential(), keys: .sequential(), mask: [],
      kernels: try kernels(0, 0))
  }
  let given = try unsafe required(options, "options")
  let mask = unsafe given.mask
  guard mask >= 0, mask < 8 else {
    throw CallError.option("mask", value: Int(mask), expected: "bits of EK_MASK_...")
  }
  return unsafe BiasCall(
    shape: shape, count: count,
    queries: try unsafe positionIDs(
      given.queries, batch: shape.batch, context: shape.queries, "queries"),
    keys: try unsafe positionIDs(given.keys, batch: shape.batch, context: shape.keys, "keys"),
    mask: AttentionMask(rawValue: UInt8(mask)), kernels: try kernels(0, given.threads))
}

/// Does `body` with logits of the type that `dtype` says.
private func withLogits(
  _ logits: UnsafeMutableRawPointer?, _ dtype: Int32, _ count: Int, _ name: StaticString,
  _ body: (Logits) throws -> Void
) throws {
  switch try elementType(dtype, "dtype") {
  case .float32:
    try unsafe body(.float(writable(logits?.assumingMemoryBound(to: Float.self), count, name)))
  case .float16:
    try unsafe body(.half(writable(logits?.assumingMemoryBound(to: Half.self), count, name)))
  case .bfloat16:
    try unsafe body(
      .bfloat16(writable(logits?.assumingMemoryBound(to: BFloat16.self), count, name)))
  }
}

@safe private enum Logits {
  case float(UnsafeMutableBufferPointer<Float>)
  case half(UnsafeMutableBufferPointer<Half>)
  case bfloat16(UnsafeMutableBufferPointer<BFloat16>)
}

extension BiasObject {
  /// Adds to the logits, or writes them.
  fileprivate func apply<Element: TableElement>(
    _ call: BiasCall, _ logits: UnsafeMutableBufferPointer<Element>, overwrites: Bool
  ) throws {
    var logits = unsafe logits
    if overwrites {
      try unsafe call.kernels.writeBias(
        bias, into: &logits, shape: call.shape, queries: call.queries, keys: call.keys,
        mask: call.mask)
    } else {
      try unsafe call.kernels.addBias(
        bias, to: &logits, shape: call.shape, queries: call.queries, keys: call.keys,
        mask: call.mask)
    }
  }

  fileprivate func apply(
    _ call: BiasCall, _ memory: UnsafeMutableRawPointer?, _ dtype: Int32, overwrites: Bool
  ) throws {
    try unsafe withLogits(memory, dtype, call.count, "logits") { logits in
      // Weights that a call is reading don't change meanwhile.
      try lock(if: isTrained) {
        switch logits {
        case .float(let logits): try unsafe apply(call, logits, overwrites: overwrites)
        case .half(let logits): try unsafe apply(call, logits, overwrites: overwrites)
        case .bfloat16(let logits): try unsafe apply(call, logits, overwrites: overwrites)
        }
      }
    }
  }

  fileprivate func lock(if changes: Bool, _ body: () throws -> Void) throws {
    if changes { try lock.withLock { _ in try body() } } else { try body() }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_write(
  _ bias: OpaquePointer?, _ output: UnsafeMutableRawPointer?, _ dtype: Int32, _ batch: Int64,
  _ heads: Int64, _ queries: Int64, _ keys: Int64, _ options: UnsafePointer<ek_bias_options>?
) -> Int32 {
  attempt {
    let found: BiasObject = try unsafe object(bias, "bias")
    try unsafe found.apply(
      call(batch, heads, queries, keys, options), output, dtype, overwrites: true)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_add(
  _ bias: OpaquePointer?, _ logits: UnsafeMutableRawPointer?, _ dtype: Int32, _ batch: Int64,
  _ heads: Int64, _ queries: Int64, _ keys: Int64, _ options: UnsafePointer<ek_bias_options>?
) -> Int32 {
  attempt {
    let found: BiasObject = try unsafe object(bias, "bias")
    try unsafe found.apply(
      call(batch, heads, queries, keys, options), logits, dtype, overwrites: false)
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_backward(
  _ bias: OpaquePointer?, _ gradient: UnsafeRawPointer?, _ dtype: Int32, _ batch: Int64,
  _ heads: Int64, _ queries: Int64, _ keys: Int64, _ weightGradient: UnsafeMutablePointer<Float>?,
  _ options: UnsafePointer<ek_bias_options>?
) -> Int32 {
  attempt {
    let found: BiasObject = try unsafe object(bias, "bias")
    let (bias, _) = try found.trained("gradient")
    let call = try unsafe call(batch, heads, queries, keys, options)
    var result = try unsafe writable(weightGradient, bias.parameterCount, "gradient")
    func add<Element: TableElement>(_ logits: UnsafeMutableBufferPointer<Element>) throws {
      var workspace = try BiasWorkspace()
      try unsafe call.kernels.addBiasGradient(
        bias, logitsGradient: UnsafeBufferPointer(logits), shape: call.shape,
        queries: call.queries, keys: call.keys, mask: call.mask, workspace: &workspace,
        into: &result)
    }
    let memory = unsafe UnsafeMutableRawPointer(mutating: gradient)
    try unsafe withLogits(memory, dtype, call.count, "logits_gradient") { logits in
      try found.lock(if: true) {
        switch logits {
        case .float(let logits): try unsafe add(logits)
        case .half(let logits): try unsafe add(logits)
        case .bfloat16(let logits): try unsafe add(logits)
        }
      }
    }
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_destroy(_ bias: OpaquePointer?) { unsafe destroy(bias, BiasObject.self) }
