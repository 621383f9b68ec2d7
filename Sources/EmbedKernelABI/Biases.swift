// Attention biases of positions behind handles.
//
// B batch, H heads, Q queries, K keys.

public import CEmbedKernel
internal import EmbedKernel

/// A bias with its table of distances, which any number of threads may use at once.
final class BiasObject: Handled {
  static let kind: UInt32 = 4

  let table: DistanceTable
  /// The bias where its weights are trained.
  let trained: T5Bias?
  /// Held by calls that change the weights, and by those that read them.
  let lock = Guarded<Void>(())

  init(_ table: DistanceTable, trained: T5Bias? = nil) {
    self.table = table
    self.trained = trained
  }
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
    guard heads > 0, heads <= mostHeads else {
      throw EmbedError.invalidSize(
        argument: "heads", value: Int(heads), expected: "1...\(mostHeads)")
    }
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
    let table = try EmbeddingTable<Float>(rows: distances.count, dim: Int(heads))
    let given = try unsafe readable(weights, distances.count * Int(heads), "weights")
    _ = unsafe table.unsafeBuffer.update(fromContentsOf: given)
    let t5 = try T5Bias(distances, weights: table)
    unsafe place.pointee = try makeHandle(BiasObject(DistanceTable(t5), trained: t5))
  }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_bias_set_weights(
  _ bias: OpaquePointer?, _ weights: UnsafePointer<Float>?, _ count: Int64
) -> Int32 {
  attempt {
    let found: BiasObject = try unsafe object(bias, "bias")
    guard let t5 = found.trained else {
      throw EmbedError.unsupported(
        argument: "weights", value: "of \(found.table.name)", expected: "a bias of t5")
    }
    let table = t5.weights
    guard count == table.rows * table.dim else {
      throw EmbedError.wrongElementCount(
        argument: "weights", expected: table.rows * table.dim, shape: [table.rows, table.dim],
        actual: Int(count))
    }
    let given = try unsafe readable(weights, table.rows * table.dim, "weights")
    found.lock.withLock { _ in
      _ = unsafe table.unsafeBuffer.update(fromContentsOf: given)
      found.table.refresh()
    }
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
        table, into: &logits, shape: call.shape, queries: call.queries, keys: call.keys,
        mask: call.mask)
    } else {
      try unsafe call.kernels.addBias(
        table, to: &logits, shape: call.shape, queries: call.queries, keys: call.keys,
        mask: call.mask)
    }
  }

  fileprivate func apply(
    _ call: BiasCall, _ memory: UnsafeMutableRawPointer?, _ dtype: Int32, overwrites: Bool
  ) throws {
    try unsafe withLogits(memory, dtype, call.count, "logits") { logits in
      // Weights that a call is reading don't change meanwhile.
      try lock(if: trained != nil) {
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
    guard let t5 = found.trained else {
      throw EmbedError.unsupported(
        argument: "gradient", value: "of \(found.table.name)", expected: "a bias of t5")
    }
    let call = try unsafe call(batch, heads, queries, keys, options)
    var result = try unsafe writable(weightGradient, t5.parameterCount, "gradient")
    func add<Element: TableElement>(_ logits: UnsafeMutableBufferPointer<Element>) throws {
      var workspace = try BiasWorkspace()
      try unsafe call.kernels.addBiasGradient(
        found.table, logitsGradient: UnsafeBufferPointer(logits), shape: call.shape,
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
