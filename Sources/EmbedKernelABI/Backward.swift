// Gradients of the tables on the caller's memory, and the norm of rows.
//
// B batch, T context, N = B*T tokens, V vocabulary, D dim.

public import CEmbedKernel
internal import EmbedKernel
internal import EmbedRows

/// What a backward call works in, kept for the next one.
final class Workspace {
  var backward: BackwardWorkspace
  var bags: BagWorkspace
  /// Row numbers of 32 bits, where the caller's have 64.
  var rows: AlignedBuffer<Int32>

  private init() throws {
    let backward = try BackwardWorkspace()
    let bags = try BagWorkspace()
    let rows = try AlignedBuffer<Int32>(count: 0)
    self.backward = backward
    self.bags = bags
    self.rows = rows
  }

  /// One that is kept, from a call of any thread, or a new one.
  static func take() throws -> Workspace {
    guard let kept = unsafe ekc_spare_take() else { return try Workspace() }
    return unsafe Unmanaged<Workspace>.fromOpaque(kept).takeRetainedValue()
  }

  /// Keeps one for later calls, where not enough are kept already.
  static func keep(_ workspace: Workspace) {
    let kept = unsafe Unmanaged.passRetained(workspace)
    if unsafe !ekc_spare_keep(kept.toOpaque()) { unsafe kept.release() }
  }

  /// Releases those that are kept.
  static func releaseKept() {
    while let kept = unsafe ekc_spare_take() {
      unsafe Unmanaged<Workspace>.fromOpaque(kept).release()
    }
  }

  func reserve(rows count: Int) throws {
    if rows.count < count { rows = try AlignedBuffer(count: count) }
  }
}

/// A backward call, checked.
@safe private struct Call {
  let outputGradient: UnsafeBufferPointer<Float>
  let ids: TokenIDs
  let shape: EmbeddingShape
  let place: PositionIDs
  let options: BackwardOptions
  let kernels: Kernels
  let writing: GradientWriting
}

private func call(
  _ gradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ shape: EmbeddingShape, _ options: UnsafePointer<ek_backward_options>?
) throws -> Call {
  let count = try product("ids", shape.batch, shape.context)
  let outputGradient = try unsafe readable(
    gradient, product("output gradient", shape.batch, shape.context, shape.dim), "output_gradient")
  let ids = try unsafe tokenIDs(ids, idType, count, "ids")
  try checkRows(shape.vocabulary, "vocabulary")
  guard let options = unsafe options else {
    return unsafe Call(
      outputGradient: outputGradient, ids: ids, shape: shape, place: .sequential(),
      options: BackwardOptions(), kernels: try kernels(0, 0), writing: .overwrite)
  }
  let given = try unsafe required(options, "options")
  try unsafe checkReserved(given.reserved)
  return unsafe Call(
    outputGradient: outputGradient, ids: ids, shape: shape,
    place: try positionIDs(given.place, batch: shape.batch, context: shape.context),
    options: BackwardOptions(
      scale: given.scale, gradientScale: given.gradient_scale,
      paddingID: try optionalID(given.padding_id, "padding_id"),
      frequencyScaling: try choice(given.frequency, .none, .inverse, name: "frequency"),
      summation: try choice(
        given.summation, .chunked, .pairwise, .compensated, name: "summation"),
      unknownIDs: try unknownIDs(given.unknown_ids),
      positionOverflow: try positionOverflow(given.position_overflow)),
    kernels: try kernels(given.backend, given.threads),
    writing: try choice(given.writing, .overwrite, .accumulate, name: "writing"))
}

/// Rows are grouped by numbers of 32 bits.
private func checkRows(_ rows: Int, _ name: StaticString) throws {
  guard rows < Int(Int32.max) else {
    throw EmbedError.invalidSize(
      argument: "\(name)", value: rows, expected: "below \(Int32.max)")
  }
}

@_lifetime(immortal)
private func target(
  _ memory: UnsafeMutablePointer<Float>?, rows: Int64, dim: Int, _ writing: GradientWriting,
  _ name: StaticString
) throws -> GradientTarget {
  guard unsafe memory != nil else { return .none }
  guard rows >= 0 else {
    throw EmbedError.invalidSize(
      argument: "rows of \(name)", value: Int(rows), expected: "0 or more")
  }
  try checkRows(Int(rows), name)
  let buffer = try unsafe writable(memory, product("\(name)", Int(rows), dim), name)
  return unsafe .dense(buffer, writing)
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_backward(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ batch: Int64, _ context: Int64, _ vocabulary: Int64, _ dim: Int64,
  _ tokenGradient: UnsafeMutablePointer<Float>?, _ positionGradient: UnsafeMutablePointer<Float>?,
  _ maximum: Int64, _ options: UnsafePointer<ek_backward_options>?
) -> Int32 {
  attempt {
    let shape = EmbeddingShape(
      vocabulary: Int(vocabulary), batch: Int(batch), context: Int(context), dim: Int(dim))
    let call = try unsafe call(outputGradient, ids, idType, shape, options)
    let tokens = try unsafe target(
      tokenGradient, rows: vocabulary, dim: shape.dim, call.writing, "token_gradient")
    let positions = try unsafe target(
      positionGradient, rows: maximum, dim: shape.dim, call.writing, "position_gradient")
    let workspace = try KeptWorkspace()
    try unsafe call.kernels.backward(
      call.outputGradient, call.ids, shape, call.place, call.options, tokens, positions,
      &workspace.value.backward)
  }
}

/// A workspace for as long as this lives.
struct KeptWorkspace: ~Copyable {
  let value: Workspace

  init() throws { value = try Workspace.take() }

  deinit { Workspace.keep(value) }
}

/// Documented in embedkernel.h.
@c @implementation
public func ek_backward_sparse(
  _ outputGradient: UnsafePointer<Float>?, _ ids: UnsafeRawPointer?, _ idType: Int32,
  _ batch: Int64, _ context: Int64, _ vocabulary: Int64, _ dim: Int64,
  _ rows: UnsafeMutableRawPointer?, _ rowType: Int32, _ values: UnsafeMutablePointer<Float>?,
  _ capacity: Int64, _ count: UnsafeMutablePointer<Int64>?,
  _ positionGradient: UnsafeMutablePointer<Float>?, _ maximum: Int64,
  _ options: UnsafePointer<ek_backward_options>?
) -> Int32 {
  attempt {
    let shape = EmbeddingShape(
      vocabulary: Int(vocabulary), batch: Int(batch), context: Int(context), dim: Int(dim))
    let call = try unsafe call(outputGradient, ids, idType, shape, options)
    let positions = try unsafe target(
      positionGradient, rows: maximum, dim: shape.dim, call.writing, "position_gradient")
    let sparse = try unsafe SparseTarget(
      rows: rows, rowType, values: values, capacity: capacity, count: count, dim: shape.dim)
    try unsafe sparse.checkApart(call.outputGradient, call.ids)
    let workspace = try KeptWorkspace()
    try sparse.fill(rows: shape.vocabulary, workspace.value) { gradient in
      try unsafe call.kernels.backward(
        call.outputGradient, call.ids, shape, call.place, call.options, .rowSparse(&gradient),
        positions, &workspace.value.backward)
    }
  }
}

/// The caller's memory for a row-sparse gradient.
@safe struct SparseTarget {
  private let rows: UnsafeMutableRawPointer?
  private let rowIDs: TokenIDs
  private let values: UnsafeMutableBufferPointer<Float>
  private let capacity: Int
  private let count: UnsafeMutablePointer<Int64>
  private let dim: Int

  init(
    rows: UnsafeMutableRawPointer?, _ rowType: Int32, values: UnsafeMutablePointer<Float>?,
    capacity: Int64, count: UnsafeMutablePointer<Int64>?, dim: Int
  ) throws {
    unsafe self.count = try place(of: count, "count")
    self.capacity = try EmbedKernelABI.count(capacity, "capacity")
    rowIDs = try unsafe tokenIDs(UnsafeRawPointer(rows), rowType, self.capacity, "rows")
    unsafe self.values = try writable(
      values, product("values", self.capacity, max(dim, 0)), "values")
    unsafe self.rows = rows
    self.dim = dim
  }

  /// What is written must be apart from what is read.
  func checkApart(_ outputGradient: UnsafeBufferPointer<Float>, _ ids: TokenIDs) throws {
    let read = unsafe [
      (
        "output gradient",
        Stretch(UnsafeRawPointer(outputGradient.baseAddress), outputGradient.count * 4)
      ),
      ("ids", Stretch(ids.base, ids.bytes)),
    ]
    let written = unsafe [
      Stretch(UnsafeRawPointer(values.baseAddress), values.count * 4),
      Stretch(rowIDs.base, rowIDs.bytes),
    ]
    for (name, part) in read {
      for target in written where part.overlaps(target) {
        throw EmbedError.overlappingMemory(argument: name)
      }
    }
    if written[0].overlaps(written[1]) { throw EmbedError.overlappingMemory(argument: "rows") }
  }

  /// Gives `body` a gradient of a table of `tableRows` rows in this memory, and tells the caller what it
  /// lists.
  func fill(
    rows tableRows: Int, _ workspace: Workspace, _ body: (inout RowSparseGradient) throws -> Void
  ) throws {
    let own = rowIDs.isWide
    if own { try workspace.reserve(rows: capacity) }
    let listed =
      own
      ? unsafe UnsafeMutableBufferPointer(rebasing: workspace.rows.unsafeBuffer[..<capacity])
      : unsafe UnsafeMutableBufferPointer(
        start: rows?.assumingMemoryBound(to: Int32.self), count: capacity)
    var gradient = try unsafe RowSparseGradient(
      rows: tableRows, dim: dim, count: 0, borrowing: listed, values, of: BorrowedMemory())
    try body(&gradient)
    unsafe count.pointee = Int64(gradient.count)
    guard gradient.count <= capacity else {
      throw CallError.room("values", needed: gradient.count, capacity: capacity)
    }
    guard own, let wide = unsafe rows?.assumingMemoryBound(to: Int64.self) else { return }
    for k in 0..<gradient.count { unsafe wide[k] = Int64(listed[k]) }
  }
}

/// A stretch of the caller's addresses.
struct Stretch {
  let start: UInt
  let end: UInt

  init(_ base: UnsafeRawPointer?, _ bytes: Int) {
    start = UInt(bitPattern: base)
    end = start &+ UInt(bitPattern: bytes)
  }

  func overlaps(_ other: Stretch) -> Bool {
    start < other.end && other.start < end && start != end && other.start != other.end
  }
}
